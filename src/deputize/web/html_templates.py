"""Templates of pages: everything is escaped, and a name that a page does not know is an error."""

from __future__ import annotations

import jinja2


def html_templates(package: str) -> jinja2.Environment:
    """The templates in a package's folder `templates`, without filters of their own."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader(package, "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
