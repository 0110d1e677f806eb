"""The reference of the Python API is written from the code."""

from __future__ import annotations

from importlib import import_module

import pytest

from deputize.cli.api_reference import MODULES, documented, markdown
from deputize.public_names import PLACES


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_of_a_module_has_a_docstring(module: str) -> None:
    for name in MODULES[module]:
        assert documented(getattr(import_module(module), name))


def test_an_object_without_a_docstring_is_refused() -> None:
    class Bare(Exception):
        pass

    with pytest.raises(LookupError, match="no docstring"):
        documented(Bare)


def test_the_page_has_every_name_with_its_arguments() -> None:
    page = markdown()
    for name in PLACES:
        assert f"### `{name}`" in page or f"| `{name}` |" in page, name
    assert "run_settings(home: Home, base: Mapping[str, Any] | None = None, **given: Any) -> Convert" in page
    assert "- `epsilon`: the loss that is claimed not to be exceeded." in page
    assert "| `MissingExtra` | `DeputizeError` | 4 | 501 |" in page
    assert "Specialist.load(" in page and "specialist.predict(" in page
