"""Templates escape what they are given, and refuse names that they do not know."""

from __future__ import annotations

import jinja2
import pytest

from deputize.web.html_templates import html_templates


@pytest.mark.parametrize("package", ["deputize.web", "deputize.dashboard"])
def test_texts_are_escaped_and_unknown_names_are_errors(package: str) -> None:
    environment = html_templates(package)
    assert environment.list_templates()
    assert environment.from_string("{{ x }}").render(x="<b>&") == "&lt;b&gt;&amp;"
    with pytest.raises(jinja2.UndefinedError):
        environment.from_string("{{ y }}").render()
