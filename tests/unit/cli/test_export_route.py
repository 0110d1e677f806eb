"""The command `deputize export`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests import tiny_specialist
from tests.unit.specialists.export_forms.test_export_folder import route_of
from tests.unit.store.published.test_published_home import homes

from deputize.cli.main import run
from deputize.core.records import RouteFile
from deputize.home import Home
from deputize.routes_file import write_routes


def test_it_says_how_many_answers_are_the_same(
    tiny: tuple[Path, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DEPUTIZE_MODELS", str(tiny[0]))
    home = Home(tmp_path / "home")
    stored = tiny_specialist.make(tiny, home.path / "specialists" / "s", "linear")
    assert home.store is not None
    write_routes(home.routes_path, RouteFile(run_id="run", routes=[route_of(stored)]), home.routes_seal)
    home.close()
    at = ["--home", str(tmp_path / "home"), "export", "route-1", "--out", str(tmp_path / "out"), "--to"]
    assert run([*at, "gguf"]) == 2
    assert "Forms that it has: onnx, npz" in capsys.readouterr().err
    assert run([*at, "npz", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["comparison"]["n"] == 0 and said["sentence"].startswith("Not compared")
    assert run([*at, "npz"]) == 3, "the folder is not empty any more"
    monkeypatch.setattr(
        "deputize.route_export.held_out", lambda *_: (tiny_specialist.requests(4), "test calls")
    )
    at[5] = str(tmp_path / "other")
    assert run([*at, "npz"]) == 0
    said = capsys.readouterr().out
    assert "as npz (as trained)" in said and "the same answer for all 4 requests" in said


def test_an_export_is_shared_and_fetched_on_another_home(
    tiny: tuple[Path, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DEPUTIZE_MODELS", str(tiny[0]))
    one, other = homes(tmp_path)
    stored = tiny_specialist.make(tiny, one.path / "specialists" / "s", "linear")
    write_routes(one.routes_path, RouteFile(run_id="run", routes=[route_of(stored)]), one.routes_seal)
    assert other.published is not None and other.published.look()
    made, came = tmp_path / "made", tmp_path / "came"
    at = ["export", "route-1", "--to", "npz"]
    assert run(["--home", str(one.path), *at, "--out", str(made), "--share", "--fetch"]) == 2
    assert run(["--home", str(tmp_path / "alone"), *at, "--out", str(made), "--share"]) == 2
    assert run(["--home", str(one.path), *at, "--out", str(made), "--share"]) == 0
    assert run(["--home", str(other.path), *at, "--out", str(came), "--fetch"]) == 0
    assert "is in" in capsys.readouterr().out
    assert {p.name: p.read_bytes() for p in came.iterdir()} == {
        p.name: p.read_bytes() for p in made.iterdir()
    }
