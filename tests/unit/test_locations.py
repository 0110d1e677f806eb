"""Folders that the environment chooses."""

from __future__ import annotations

from pathlib import Path

import pytest

from deputize.locations import home_path, models_path


def test_what_is_given_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DEPUTIZE_HOME", str(tmp_path / "named"))
    assert home_path(str(tmp_path / "given")) == tmp_path / "given"
    assert home_path() == tmp_path / "named"


def test_without_either_the_home_is_in_the_working_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("DEPUTIZE_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    assert home_path() == tmp_path / ".deputize"


def test_models_are_shared_by_all_homes_unless_the_environment_says_so(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("DEPUTIZE_MODELS", str(tmp_path))
    assert models_path() == tmp_path
    monkeypatch.delenv("DEPUTIZE_MODELS")
    assert models_path() == Path.home() / ".cache" / "deputize" / "models"
