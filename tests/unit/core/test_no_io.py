"""`core` and `router` do no I/O: no file, no environment, no process, no network; a planted violation is noticed."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[3] / "src" / "deputize"
PURE = ("core", "router")
MODULES = {
    *("os", "io", "fcntl", "shutil", "socket", "sqlite3", "subprocess", "tempfile", "urllib", "http", "mmap"),
    *("deputize.files", "deputize.home", "deputize.locations", "deputize.routes_file", "deputize.store"),
}
"""Modules that a pure one does not import."""
METHODS = {
    *(
        "open",
        "read_text",
        "read_bytes",
        "write_text",
        "write_bytes",
        "mkdir",
        "unlink",
        "touch",
        "stat",
        "chmod",
    ),
    *("exists", "is_file", "is_dir", "iterdir", "glob", "rglob", "expanduser", "resolve", "absolute"),
}
"""Methods of paths and files that a pure module does not call."""


def impure(source: str) -> list[str]:
    """Violations in a module's source, by line."""
    found: list[str] = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            found += [f"{node.lineno}: imports {name}" for name in names if _is_forbidden(name)]
        if isinstance(node, ast.Call):
            called = node.func
            if isinstance(called, ast.Name) and called.id in ("open", "input"):
                found.append(f"{node.lineno}: calls {called.id}")
            if isinstance(called, ast.Attribute) and called.attr in METHODS:
                found.append(f"{node.lineno}: calls .{called.attr}")
    return found


def _is_forbidden(name: str) -> bool:
    return any(name == module or name.startswith(f"{module}.") for module in MODULES)


@pytest.mark.parametrize("folder", PURE)
def test_nothing_is_read_or_written(folder: str) -> None:
    paths = sorted((PACKAGE / folder).rglob("*.py"))
    assert paths
    found = [f"{p.relative_to(PACKAGE)}:{line}" for p in paths for line in impure(p.read_text("utf-8"))]
    assert found == []


@pytest.mark.parametrize(
    "planted",
    [
        "import os\nhome = os.environ['HOME']",
        "from os import environ",
        "data = open('x').read()",
        "from pathlib import Path\ntext = Path('x').read_text()",
        "def f(path):\n    return path.exists()",
        "import urllib.request",
        "from deputize.files import read_toml",
        "def late():\n    from deputize.store.sqlite import SqliteStore",
    ],
)
def test_a_planted_violation_is_noticed(planted: str) -> None:
    assert impure(planted)
