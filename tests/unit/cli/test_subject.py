"""subject: the commands for people's rights."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deputize.cli.main import run
from deputize.home import Home
from deputize.testing import call


def test_export_and_record(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Home(tmp_path / "home") as home:
        home.store.append([call("a", origin=home.keyring.pseudonym("mia"))])
    out = tmp_path / "mia.json"
    at = ["--home", str(tmp_path / "home")]
    assert run([*at, "subject", "export", "--origin", "mia", "--out", str(out)]) == 0
    assert "1 calls and 0 conversations" in capsys.readouterr().out
    assert [one["id"] for one in json.loads(out.read_text())["calls"]] == ["a"]
    assert run([*at, "subject", "record", "--out", str(tmp_path / "record.md")]) == 0
    assert "Record of processing" in (tmp_path / "record.md").read_text()
    assert run([*at, "subject", "record", "--out", str(tmp_path / "record.md")]) != 0, (
        "nothing is overwritten"
    )
