"""backup and restore from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deputize.cli.main import run
from deputize.home import Home
from deputize.testing import call


def test_there_and_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home, new, out = tmp_path / "home", tmp_path / "new", tmp_path / "b.tar"
    with Home(home) as opened:
        opened.store.append([call("a")])
    assert run(["--home", str(home), "backup", str(out)]) == 0
    assert f"useless without {home / 'keys'}" in capsys.readouterr().out
    assert run(["--home", str(new), "--json", "restore", str(out)]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["with_keys"] is False and told["n_files"] > 2
    assert run(["--home", str(home), "restore", str(out)]) == 2
    assert "not empty" in capsys.readouterr().err
