"""The values of settings: what config.toml says, the defaults of the rest, and nothing that is sensitive."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deputize.cli.main import run
from deputize.cli.settings_in_force import settings_in_force
from deputize.core.config import Convert


def test_what_is_set_and_what_has_its_default() -> None:
    rows = {(r.table, r.name): r for r in settings_in_force({"convert": {"epsilon": 0.02}})}
    assert rows["convert", "epsilon"].value == 0.02 and rows["convert", "epsilon"].is_set
    delta = rows["convert", "delta"]
    assert (delta.value, delta.is_set) == (Convert().delta, False)
    assert ("gateway", "route_poll_s") in rows


def test_a_table_with_a_mistake_and_an_unknown_one_are_shown_as_they_stand() -> None:
    rows = settings_in_force({"convert": {"epsilon": "much"}, "retention": {"*": 30}})
    assert [(r.name, r.value) for r in rows if r.table == "convert"] == [("epsilon", "much")]
    assert [(r.name, r.value, r.is_set) for r in rows if r.table == "retention"] == [("*", 30, True)]


def test_the_command_lists_them_and_counts_sensitive_terms(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.toml").write_text('[privacy]\nsensitive = ["Falcon"]\n[convert]\nseed = 7\n')
    assert run(["--home", str(tmp_path), "config", "show"]) == 0
    said = capsys.readouterr().out
    assert "[convert] seed" in said and "1 not shown" in said and "Falcon" not in said
    assert "delta" not in said
    assert run(["--home", str(tmp_path), "config", "show", "--all"]) == 0
    assert "[convert] delta" in capsys.readouterr().out
    assert run(["--home", str(tmp_path), "--json", "config", "show"]) == 0
    settings = json.loads(capsys.readouterr().out)["settings"]
    assert {"table": "convert", "name": "seed", "value": 7, "is_set": True} in settings


def test_a_home_without_a_file_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--home", str(tmp_path), "config", "show"]) == 0
    assert "every setting has its default" in " ".join(capsys.readouterr().out.split())
