"""The examples of the pages on adding parts run, and each page names its entry points and its contract check."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "docs" / "guides" / "extend"
FAMILIES = {
    "detectors": ("deputize.detectors", "check_detector"),
    "engines": ("deputize.engines", "check_engine"),
    "importers": ("deputize.importers", "check_importer"),
    "key-providers": ("deputize.key_providers", "check_key_provider"),
    "methods": ("deputize.methods", "check_method"),
    "stores": ("deputize.stores", "check_store"),
}
PAGES = sorted(FOLDER.glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_the_examples_run_and_pass_the_contract_check(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = page.read_text("utf-8")
    group, check = FAMILIES[page.stem]
    assert f'[project.entry-points."{group}"]' in text
    blocks = [(m.start(), m.group(1)) for m in re.finditer(r"^```python\n(.*?)^```", text, re.M | re.S)]
    assert any(f"{check}(" in block for _, block in blocks)
    namespace = {"__name__": f"extend_{page.stem}"}
    for start, block in blocks:
        line = text.count("\n", 0, start) + 1
        exec(compile("\n" * line + block, str(page), "exec"), namespace)
