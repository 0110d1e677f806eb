"""publish, as a user sees it."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.gateway.stubs import live_route

from deputize.cli.main import run
from deputize.core.records import RouteFile
from deputize.home import Home
from deputize.routes_file import write_routes
from deputize.specialists.specialist_card import CARD


def test_what_a_home_has_is_published_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = Home(tmp_path / "home", environ={})
    write_routes(home.routes_path, RouteFile(run_id="1", routes=[live_route()]), home.routes_seal)
    at = ["--home", str(home.path), "publish"]
    assert run(at) == 2 and "names no object store" in capsys.readouterr().err
    home.config_path.write_text(f'[objects]\nurl = "file://{tmp_path}/shared"\n')
    assert run(at) == 0 and "Version 1 is in force" in capsys.readouterr().out
    assert run(at) == 0 and "Version 1 is in force in" in capsys.readouterr().out
    card = home.path / live_route().specialist / CARD
    card.parent.mkdir()
    card.write_text("{}")
    assert run(at) == 0 and "Version 2" in capsys.readouterr().out
    assert run(at) == 0 and "nothing was missing" in capsys.readouterr().out
    notes = [e.detail["generation"] for e in home.audit.entries() if e.detail.get("file") == "pointer"]
    assert notes == ["1", "2"]
