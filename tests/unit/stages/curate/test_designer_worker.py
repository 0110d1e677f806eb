"""The worker runs where deputize is not: it imports nothing of it, and says nothing to anybody but the model's server."""

from __future__ import annotations

import ast
from pathlib import Path

from deputize.stages.curate import designer_worker


def test_it_imports_nothing_of_this_package_and_switches_telemetry_off_first() -> None:
    tree = ast.parse(Path(designer_worker.__file__).read_text("utf-8"))
    names = [a.name for node in ast.walk(tree) if isinstance(node, ast.Import) for a in node.names]
    names += [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert not [name for name in names if name.startswith("deputize")]
    assert not [
        node for node in tree.body if "data_designer" in ast.unparse(node) and isinstance(node, ast.Import)
    ]
    (main,) = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    said = [ast.unparse(node) for node in main.body]
    first = next(n for n, line in enumerate(said) if "data_designer" in line)
    assert any("'NEMO_TELEMETRY_ENABLED': 'false'" in line for line in said[:first])


def test_its_prompt_asks_for_another_case_of_the_same_form() -> None:
    for column in ("{{ kind }}", "{{ text }}", "{{ how }}"):
        assert column in designer_worker.PROMPT
    assert len(set(designer_worker.HOWS)) == len(designer_worker.HOWS) > 3
