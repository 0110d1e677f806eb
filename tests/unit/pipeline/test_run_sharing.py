"""A run that ends on one machine, read on another; erasures and rotations reach what is shared."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tests.unit.cli.test_erase import House

from deputize.cli.main import run
from deputize.core.artifacts import Curated
from deputize.home import Home
from deputize.maintenance.rotation import rotate
from deputize.pipeline.run import Run, read_state
from deputize.pipeline.run_erasure import forget_in_runs
from deputize.pipeline.run_sharing import share_run, share_runs_again


@pytest.fixture
def house(tmp_path: Path) -> House:
    home = tmp_path / "home"
    home.mkdir()
    (home / "config.toml").write_text(f'[objects]\nurl = "file://{tmp_path}/shared"\n')
    return House(home)


def with_keys_of(house: House, folder: Path) -> Home:
    """A second home as the guide says: the keys and the settings, nothing else."""
    shutil.rmtree(folder / "keys", ignore_errors=True)
    shutil.copytree(
        house.home / "keys", folder / "keys", ignore=shutil.ignore_patterns("api_keys.json", "*.lock")
    )
    shutil.copy(house.home / "config.toml", folder / "config.toml")
    return Home(folder)


def examples(home: Home, run_id: str) -> set[str]:
    return {e.call_id for e in Run(home, read_state(home, run_id)).artifact("curate", Curated).examples()}


def test_a_report_is_read_on_the_other_machine_and_an_erasure_reaches_it(
    house: House, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run_id = house.run.state.run_id
    other = with_keys_of(house, tmp_path / "other")
    at = ["--home", str(other.path)]
    assert run([*at, "report", run_id]) == 3
    assert (
        run([*at, "runs", "fetch", run_id[:4]]) == 0
        and f"The run {run_id} is here" in capsys.readouterr().out
    )
    assert run([*at, "report", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["run_id"] == run_id
    assert (other.runs_path / run_id / "report.html").read_bytes() == (
        house.run.folder / "report.html"
    ).read_bytes()
    assert examples(other, run_id) == {"a0", "a1", "a2", "b0", "b1", "b2"}
    house.store.erase(house.ann)
    assert forget_in_runs(house.opened) == {run_id: 3}
    assert rotate(house.opened).warnings == ()
    other = with_keys_of(house, tmp_path / "other")
    assert run([*at, "runs", "fetch"]) == 0
    assert examples(other, run_id) == {"b0", "b1", "b2"}


def test_what_cannot_be_shared_now_is_said_and_shared_later(house: House, tmp_path: Path) -> None:
    away = tmp_path / "away"
    (tmp_path / "shared").rename(away)
    (tmp_path / "shared").write_text("no folder")
    assert "is not shared: " in share_run(house.opened, house.run.state.run_id)
    (warning,) = rotate(house.opened).warnings
    assert "Other homes may have runs as they were" in warning and "deputize publish" in warning
    (tmp_path / "shared").unlink()
    away.rename(tmp_path / "shared")
    assert run(["--home", str(house.home), "publish"]) == 0
    assert share_runs_again(house.opened) == ""
    other = with_keys_of(house, tmp_path / "other")
    assert run(["--home", str(other.path), "runs", "fetch"]) == 0
    assert examples(other, house.run.state.run_id)


def test_a_home_that_shares_nothing_says_how_to(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert share_run(Home(tmp_path), "0001") == "" and share_runs_again(Home(tmp_path)) == ""
    assert run(["--home", str(tmp_path), "runs", "fetch"]) == 2
    assert "write [objects] with url" in capsys.readouterr().err
