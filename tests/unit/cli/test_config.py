"""`deputize config`: which settings are in force, and who put them in force."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deputize.cli.main import run
from deputize.home import Home


def test_a_change_is_shown_and_accepted_by_those_who_manage_keys(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    at = ["--home", str(tmp_path)]
    (tmp_path / "config.toml").write_text("[retention]\ndefault = 30\n")
    assert run([*at, "keys", "create", "--role", "operator"]) == 0
    operator = capsys.readouterr().out.strip()
    (tmp_path / "config.toml").write_text("[retention]\ndefault = 9999\n")
    assert run([*at, "retention"]) == 1
    assert "deputize config accept" in capsys.readouterr().err
    assert run([*at, "config", "show", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["in_force"] is False and shown["changed"] == ["retention.default"]
    monkeypatch.setenv("DEPUTIZE_KEY", operator)
    assert run([*at, "config", "accept"]) == 5, "an operator may not"
    monkeypatch.delenv("DEPUTIZE_KEY")
    assert run([*at, "config", "accept"]) == 0
    assert "changed: retention.default" in capsys.readouterr().out
    assert run([*at, "config", "show", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["in_force"] is True
    assert run([*at, "config", "accept"]) == 0 and "nothing has changed" in capsys.readouterr().out
    accepted = [e for e in Home(tmp_path).audit.entries() if e.action == "config.accept"]
    assert len(accepted) == 3 and all(e.actor for e in accepted), "the first with the first key"


def test_check_names_every_mistake_and_ends_with_3(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    at = ["--home", str(tmp_path)]
    assert run([*at, "config", "check"]) == 0 and "has its default" in capsys.readouterr().out
    (tmp_path / "config.toml").write_text("[convert]\nepsilon = 0.1\n")
    assert run([*at, "config", "check"]) == 0 and "no mistakes" in capsys.readouterr().out
    (tmp_path / "config.toml").write_text("[convert]\nepsilom = 0.1\nminutes = 0\n")
    assert run([*at, "config", "check", "--json"]) == 3
    assert len(json.loads(capsys.readouterr().out)["mistakes"]) == 2
    (tmp_path / "config.toml").write_text("[convert\n")
    assert run([*at, "config", "check"]) == 3
