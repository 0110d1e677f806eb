"""The examples of the pages on adding parts run as a package of somebody else's, and pass the contract checks."""

from __future__ import annotations

import re
import sys
import tomllib
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


def blocks(text: str, language: str) -> list[str]:
    """Code blocks of a language, each moved to its line of the page, so that tracebacks name it."""
    found = re.finditer(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return ["\n" * (text.count("\n", 0, m.start()) + 1) + m.group(1) for m in found]


@pytest.mark.parametrize("name", FAMILIES)
def test_the_example_is_installed_and_passes_the_contract_check(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = FOLDER / f"{name}.md"
    group, check = FAMILIES[name]
    (part, used), (packaging,) = (
        blocks(page.read_text("utf-8"), "python"),
        blocks(page.read_text("utf-8"), "toml"),
    )
    groups: dict[str, dict[str, str]] = tomllib.loads(packaging)["project"]["entry-points"]
    (module,) = {target.split(":")[0] for target in groups[group].values()}
    (tmp_path / f"{module}.py").write_text(part, "utf-8")
    about = tmp_path / f"{module}-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    lines = [
        line
        for g, members in groups.items()
        for line in (f"[{g}]", *(f"{k} = {v}" for k, v in members.items()))
    ]
    (about / "entry_points.txt").write_text("\n".join(lines) + "\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert f"{check}(" in used
    try:
        exec(compile(used, str(page), "exec"), {"__name__": name})
    finally:
        sys.modules.pop(module, None)


def test_each_family_has_a_page_and_no_other_page_is_there() -> None:
    assert {page.stem for page in FOLDER.glob("*.md")} == set(FAMILIES)
