"""The catalogue as a list, and folders with weights that are taken into it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deputize.cli.main import run

SHOWN = {"name", "params_m", "context", "licence", "memory_gb", "source", "checked", "in_paper", "fetched"}


@pytest.fixture(autouse=True)
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DEPUTIZE_MODELS", str(tmp_path / "models"))
    return tmp_path / "models"


def test_every_model_is_listed_and_none_is_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--json", "models", "list"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert "SmolLM2-135M-Instruct" in {row["name"] for row in rows}
    assert all(row.keys() >= SHOWN and not row["fetched"] for row in rows)


def test_an_added_model_is_listed_as_here(
    models: Path, tiny: tuple[Path, str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, name = tiny
    assert run(["--json", "models", "add", "mine", str(folder / name), "--licence", "MIT"]) == 0
    assert json.loads(capsys.readouterr().out) == {"name": "mine", "path": str(models / "mine")}
    assert run(["--json", "models", "list"]) == 0
    (mine,) = (row for row in json.loads(capsys.readouterr().out) if row["name"] == "mine")
    assert mine["fetched"] and mine["licence"] == "MIT"


def test_a_folder_without_weights_and_a_name_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert run(["models", "add", "mine", str(tmp_path / "empty")]) == 3
    assert run(["models", "fetch", "no-such-model"]) == 3
