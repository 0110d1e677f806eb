"""Packages that add members to families, installed for one test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

Install = Callable[[dict[str, dict[str, str]]], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Installs a package with these entry points: group -> name -> module:attribute."""

    def do(groups: dict[str, dict[str, str]]) -> None:
        folder = tmp_path / "site" / "a_users_package-1.0.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: a-users-package\nVersion: 1.0\n")
        lines = [
            line
            for group, names in groups.items()
            for line in (f"[{group}]", *(f"{name} = {target}" for name, target in names.items()))
        ]
        (folder / "entry_points.txt").write_text("\n".join(lines) + "\n")
        monkeypatch.syspath_prepend(str(folder.parent))

    return do
