"""Importing the package is quick and needs nothing optional; its public names are there, typed and documented."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import deputize
from deputize.cli.api_reference import documented
from deputize.public_names import PLACES, public_name, public_names

HEAVY = ("torch", "transformers", "sklearn", "scipy", "numpy", "pydantic", "aiohttp", "msgspec")


def loaded_after(code: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after some code."""
    program = f"{code}\nimport sys\nprint(' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_package_loads_next_to_nothing() -> None:
    loaded = loaded_after("import deputize; assert deputize.__version__; assert 'Home' in dir(deputize)")
    assert loaded.isdisjoint(HEAVY)
    assert len([name for name in loaded if name.startswith("deputize")]) <= 4


def test_a_home_a_listener_and_a_request_need_no_torch() -> None:
    loaded = loaded_after("from deputize import Home, Listener, Request, convert, import_logs, serve")
    assert loaded.isdisjoint(("torch", "transformers", "sklearn", "spacy"))


@pytest.mark.parametrize("name", PLACES)
def test_every_public_name_is_there_and_says_what_it_is(name: str) -> None:
    assert getattr(deputize, name) is public_name(name)
    assert documented(public_name(name))


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(deputize.__file__).read_text("utf-8"))
    (guard,) = (node for node in tree.body if isinstance(node, ast.If))
    typed = {
        (alias.asname or alias.name): f"{node.module}:{alias.name}"
        for node in guard.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert typed == PLACES
    assert sorted(deputize.__all__) == public_names() == dir(deputize)


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'deputize' has no attribute 'Hoem'"):
        public_name("Hoem")
    with pytest.raises(ImportError, match="Hoem"):
        exec("from deputize import Hoem")
