"""No model brings code of its own: everything that could run it says no, so that nobody is asked at a prompt."""

from __future__ import annotations

import ast
from pathlib import Path

import deputize

SRC = Path(deputize.__file__).parent


def loads() -> list[tuple[str, ast.Call]]:
    """Calls of `Auto....from_pretrained`, with where they stand."""
    found = []
    for path in sorted(SRC.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".from_pretrained"):
                name = ast.unparse(node.func).split(".")[-2]
                if name.startswith("Auto"):
                    found.append((f"{path.relative_to(SRC)}:{node.lineno}", node))
    return found


def test_every_model_is_loaded_without_code_of_its_own() -> None:
    assert len(loads()) >= 6
    for where, call in loads():
        given = {k.arg: ast.unparse(k.value) for k in call.keywords}
        assert given.get("trust_remote_code") == "False", where
