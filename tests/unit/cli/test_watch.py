"""watch, as a command: one look, two at a time, settings that cannot be used."""

from __future__ import annotations

import json

import pytest
from tests.unit.test_watcher import CountedHome, home

from deputize.cli.main import run
from deputize.home import Home

__all__ = ["home"]


def test_the_command(home: CountedHome, capsys: pytest.CaptureFixture[str]) -> None:
    home.audits("bad", 60, 3)
    arguments = ["--home", str(home.folder), "watch", "--once", "--min-new-calls", "1000"]
    assert run([*arguments, "--json"]) == 0
    looks = json.loads(capsys.readouterr().out)["looks"]
    assert len(looks) == 1 and looks[0]["decided"] == "wait" and len(looks[0]["rolled_back"]) == 1
    assert run(arguments) == 0
    assert "wait: 0 new calls answered by the LLM since the last run, 1,000 wanted" in capsys.readouterr().out


def test_two_watches_and_bad_settings(home: CountedHome, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--home", str(home.folder), "watch", "--once"]
    with Home(home.folder).alone("watch"):
        assert run(arguments) == 2
    assert "Another watch is at work" in capsys.readouterr().err
    assert run([*arguments, "--epsilon", "2"]) == 2
    assert run([*arguments, "--model", "no-such-model"]) == 3
    (home.folder / "watch.json").write_text("{")
    assert run(arguments) == 3
    assert "watch.json" in capsys.readouterr().err
