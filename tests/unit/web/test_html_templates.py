"""Templates escape what they are given, and refuse names that they do not know."""

from __future__ import annotations

import jinja2
import pytest
from markupsafe import Markup

from deputize.web.html_templates import html_templates


@pytest.mark.parametrize("package", ["deputize.web", "deputize.dashboard"])
def test_texts_are_escaped_and_unknown_names_are_errors(package: str) -> None:
    environment = html_templates(package)
    assert environment.list_templates()
    assert environment.from_string("{{ x }}").render(x="<b>&") == "&lt;b&gt;&amp;"
    turned = environment.from_string("<i>{{ x }}</i>{{ m }} {{ n }}").render(
        x="a\u202eb\x1b", m=Markup("<b>"), n=3
    )
    assert turned == "<i>ab\u241b</i><b> 3", "nothing turns the rest of a line round"
    with pytest.raises(jinja2.UndefinedError):
        environment.from_string("{{ y }}").render()
