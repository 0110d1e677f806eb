"""Templates of pages: everything is escaped, nothing changes the direction of a line, and a name that a page does not
know is an error."""

from __future__ import annotations

from typing import Any

import jinja2
from markupsafe import Markup

from deputize.core.terminal_text import plain


def html_templates(package: str) -> jinja2.Environment:
    """The templates in a package's folder `templates`, without filters of their own."""
    return jinja2.Environment(
        loader=jinja2.PackageLoader(package, "templates"),
        autoescape=True,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )


def _shown(value: Any) -> Any:
    """A value as it is put into a page. A name that turns the rest of its line round could make a page say something
    else."""
    return plain(value) if isinstance(value, str) and not isinstance(value, Markup) else value
