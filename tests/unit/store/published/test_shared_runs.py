"""Runs of several homes in one object store."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import structs
from tests.unit.store.published.test_published_home import homes, routes

from deputize.core.errors import BadInput, StoreError
from deputize.home import Home
from deputize.pipeline.run_sharing import shared_runs
from deputize.route_export import shared_exports
from deputize.routes_file import update_routes, write_routes
from deputize.specialists.specialist_card import CARD
from deputize.store.published import published_home
from deputize.store.published.buckets import FolderBucket
from deputize.store.published.shared_runs import SharedRuns


def shared(home: Home) -> SharedRuns:
    found = shared_runs(home)
    assert found is not None
    return found


def a_run(home: Home, run_id: str = "0001-aa") -> Path:
    folder = home.runs_path / run_id
    (folder / "specialists").mkdir(parents=True)
    for name in ("run.json", "report.json", "curate.sealed", "run.lock"):
        (folder / name).write_text(f"{name} of {run_id}")
    (folder / "specialists" / "weights").write_text("w")
    return folder


def n_objects(tmp_path: Path) -> int:
    return len(list((tmp_path / "shared" / "objects").iterdir()))


def test_a_run_is_shared_fetched_changed_and_fetched_again(tmp_path: Path) -> None:
    one, other = homes(tmp_path)
    folder = a_run(one)
    with pytest.raises(StoreError, match="Nothing is published"):
        shared(one).share("0001-aa")
    write_routes(one.routes_path, routes(), one.routes_seal)
    assert shared(one).share("0001-aa") and shared(one).names() == ["0001-aa"]
    n = n_objects(tmp_path)
    assert not shared(one).share("0001-aa") and n_objects(tmp_path) == n == 4, "a state and three files"
    assert shared(other).fetch() == "0001-aa"
    there = other.runs_path / "0001-aa"
    assert {p.name for p in there.iterdir()} == {"run.json", "report.json", "curate.sealed"}
    assert (there / "curate.sealed").read_bytes() == (folder / "curate.sealed").read_bytes()
    kept = {p.name for p in (tmp_path / "shared" / "objects").iterdir()}
    (folder / "report.json").write_text("another report")
    assert shared(one).share_again() == ["0001-aa"] and shared(one).share_again() == []
    assert len({p.name for p in (tmp_path / "shared" / "objects").iterdir()} & kept) == 2, (
        "what had not changed"
    )
    assert shared(other).fetch("0001-aa") == "0001-aa"
    assert (there / "report.json").read_text() == "another report"
    actions = [
        [(e.action, e.subject) for e in home.audit.entries() if e.action.startswith("run.")]
        for home in (one, other)
    ]
    assert actions == [[("run.share", "0001-aa")] * 2, [("run.fetch", "0001-aa")] * 2]


class LosesAnswers(FolderBucket):
    """An object store that takes a pointer and goes away before it has said so."""

    def create(self, name: str, data: bytes) -> bool:
        done = super().create(name, data)
        if name.startswith("pointers/"):
            raise StoreError("the line was cut.")
        return done


def test_what_may_have_been_published_keeps_its_objects(tmp_path: Path) -> None:
    one, other = homes(tmp_path)
    a_run(one)
    write_routes(one.routes_path, routes(), one.routes_seal)
    assert one.published is not None
    whole = one.published.bucket
    one.published.bucket = LosesAnswers(tmp_path / "shared")
    with pytest.raises(
        StoreError, match=r"the line was cut\. Whether version 2 was published cannot be told"
    ):
        shared(one).share("0001-aa")
    assert shared(other).fetch() == "0001-aa", "it was"
    one.published.bucket = whole
    assert not shared(one).share("0001-aa"), "it is there already"
    one.published.bucket = LosesAnswers(tmp_path / "shared")
    with pytest.raises(StoreError, match="Whether version 3 was"):
        update_routes(one.routes_path, lambda file: routes("closed"), one.routes_seal)
    one.published.bucket = whole
    for home in (one, other):
        assert home.published is not None and home.published.look()
        assert [route.state for route in home.routes().routes] == ["closed"]


def test_an_export_that_may_have_been_published_keeps_its_objects(tmp_path: Path) -> None:
    one, other = homes(tmp_path)
    (one.path / "specialists" / "x").mkdir(parents=True)
    (one.path / "specialists" / "x" / CARD).write_text("{}")
    file = structs.replace(routes(), routes=[structs.replace(routes().routes[0], specialist="specialists/x")])
    write_routes(one.routes_path, file, one.routes_seal)
    assert one.published is not None
    one.published.bucket = LosesAnswers(tmp_path / "shared")
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "weights").write_text("w")
    with pytest.raises(StoreError, match="cannot be told"):
        shared_exports(one).share("r/peft", "specialists/x", tmp_path / "made")
    shared_exports(other).fetch("r/peft", tmp_path / "came")
    assert (tmp_path / "came" / "weights").read_text() == "w"


def test_what_a_killed_fetch_of_a_run_left_goes_with_the_next(tmp_path: Path) -> None:
    one, other = homes(tmp_path)
    a_run(one)
    write_routes(one.routes_path, routes(), one.routes_seal)
    assert shared(one).share("0001-aa")
    left = other.path / "objects" / "coming-run" / "curate.sealed"
    left.parent.mkdir(parents=True)
    left.write_text("half of it")
    assert shared(other).fetch() == "0001-aa"
    assert not left.parent.exists()


def test_a_run_of_its_own_is_not_written_over_and_one_that_is_not_shared_is_named(tmp_path: Path) -> None:
    one, other = homes(tmp_path)
    write_routes(one.routes_path, routes(), one.routes_seal)
    a_run(one)
    shared(one).share("0001-aa")
    own = a_run(other)
    (own / "report.json").write_text("of its own")
    with pytest.raises(BadInput, match="is this home's own"):
        shared(other).fetch()
    with pytest.raises(BadInput, match=r"no shared run '0002'.*there are: 0001-aa"):
        shared(other).fetch("0002")
    with pytest.raises(StoreError, match="cannot be read"):
        shared(other).share("0002")
    assert (own / "report.json").read_text() == "of its own"


def test_the_newest_runs_are_kept_and_lost_objects_are_sent_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(published_home, "KEPT_RUNS", 2)
    one, other = homes(tmp_path)
    write_routes(one.routes_path, routes(), one.routes_seal)
    for number in (1, 2, 3):
        a_run(one, f"000{number}-aa")
        shared(one).share(f"000{number}-aa")
    assert shared(other).names() == ["0002-aa", "0003-aa"] and n_objects(tmp_path) == 7
    for path in (tmp_path / "shared" / "objects").iterdir():
        if f"objects/{path.name}" != state_of(one):
            path.unlink()
    assert one.published is not None
    one.published.publish_missing()
    assert shared(one).names() == [] and shared(one).share("0003-aa") and shared(other).fetch() == "0003-aa"


def state_of(home: Home) -> str:
    assert home.published is not None
    return home.published._newest(home.published._noted())[0].state.name


def test_a_home_that_shares_no_runs_keeps_its_own_to_itself(tmp_path: Path) -> None:
    one, _ = homes(tmp_path)
    one.config_path.write_text(one.config_path.read_text() + "runs = false\n")
    assert shared_runs(Home(one.path, environ={})) is None
    one.config_path.unlink()
    assert shared_runs(Home(one.path, environ={})) is None
