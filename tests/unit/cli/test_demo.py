"""`deputize demo` keeps to a folder of its own and shows what the replay brought."""

from __future__ import annotations

from pathlib import Path

import pytest

from deputize.cli import demo as command
from deputize.cli.main import run
from deputize.demo import loop


def test_the_users_own_home_is_never_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DEPUTIZE_HOME", str(tmp_path / "mine"))
    (tmp_path / command.DEFAULT_HOME).mkdir()
    (tmp_path / command.DEFAULT_HOME / "thesis.txt").write_text("x")
    assert run(["demo"]) == 2
    assert command.DEFAULT_HOME in capsys.readouterr().err
    assert not (tmp_path / "mine").exists()


def test_another_size_than_that_of_the_folder_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    loop.open_state(tmp_path, loop.DemoSize(n_episodes=20))
    assert run(["--home", str(tmp_path), "demo", "--episodes", "30"]) == 2
    assert "--fresh" in capsys.readouterr().err
