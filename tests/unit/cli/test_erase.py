"""erase, from the command to the last byte: store, runs, backups, reports, routes."""

from __future__ import annotations

import json
import shlex
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from deputize.cli.convert import convert as CONVERT
from deputize.cli.convert import settings
from deputize.cli.main import run
from deputize.core.artifacts import Curated, Discovered, Finetuned, Selected, Specialist
from deputize.core.config import Convert
from deputize.core.errors import StoreError, Tampered
from deputize.core.progress import silent
from deputize.core.records import Contract, Example, PromptRecipe, Request, Route, RouteFile, Task, encode
from deputize.core.task_results import Evaluated
from deputize.home import Home
from deputize.maintenance.erasure import erase
from deputize.maintenance.find_calls import Wanted
from deputize.maintenance.lineage import ClearTextCopy, note_copy
from deputize.pipeline.artifact import Artifact
from deputize.pipeline.conversion import finish, open_run
from deputize.pipeline.run_erasure import forget_in_runs
from deputize.pipeline.stage_table import stage_of
from deputize.routes_file import read_routes, write_routes
from deputize.store.access.audit_log import AuditLog
from deputize.store.access.roles import owner
from deputize.store.keys.keyring import KeyRing, Sealer
from deputize.store.keys.run_keys import KEY_FILE, finish_forgetting, rewrite, run_key
from deputize.store.recording.journal import Segment
from deputize.store.sqlite import SqliteStore
from deputize.testing import call

SECRET = "the blue heron of Trieste"


class House:
    """A home with two people's calls and a run that was trained on both."""

    def __init__(self, home: Path) -> None:
        self.opened = Home(home)
        self.home, self.ring, self.store = home, self.opened.keyring, self.opened.store
        self.ann, self.bob = (self.ring.pseudonym(name) for name in ("ann.weber", "bob"))
        self.store.append(
            [
                call(f"{name}{i}", origin=origin, timestamp=float(i + 1))
                for name, origin in (("a", self.ann), ("b", self.bob))
                for i in range(3)
            ]
        )
        self.run = open_run(self.opened, Convert(epsilon=0.04, minutes=7.0, explore=True), silent)
        examples = [
            Example(
                call_id=c.id,
                request=Request(messages=[{"role": "user", "content": f"{SECRET} {c.id}"}]),
                response={},
                audience="code",
                site="s",
                episode=c.id,
                group=c.id,
                origin=c.origin,
                split="train",
            )
            for c in self.store.calls()
        ]
        task = Task(id="t", name="t", contract=Contract(kind="label"), recipe=PromptRecipe(), keys=["k"])
        specialist = Specialist(
            id="t-linear",
            task_id="t",
            method="linear",
            model="",
            kind="linear",
            contract=task.contract,
            task=task,
            n_train=4,
            train_s=0.0,
            trained_on=["a0", "a1", "b0", "b1"],
            path=f"runs/{self.run.state.run_id}/specialists/t-linear",
        )
        for step, record in (
            ("curate", Curated(examples=examples, sites=[], n_calls=6, n_episodes=6, n_code_calls=6)),
            (
                "cluster",
                Discovered(tasks=[task], keyspaces=[], assignment={e.call_id: "t" for e in examples}),
            ),
            ("select", Selected(candidates={}, plan={}, base_model="")),
            ("finetune", Finetuned(specialists=[specialist])),
            ("evaluate", Evaluated(results=[])),
        ):
            self.run.artifact(step, type(record)).write(record)
        folder = home / specialist.path
        folder.mkdir(parents=True)
        (folder / "specialist.json").write_bytes(encode(specialist))
        finish(self.run)
        write_routes(
            home / "routes.json",
            RouteFile(
                run_id="r",
                routes=[
                    Route(
                        id="route-t",
                        task_id="t",
                        task_name="t",
                        keys=["k"],
                        contract=task.contract,
                        specialist=specialist.path,
                        threshold=0.5,
                        state="live",
                    )
                ],
            ),
            self.opened.routes_seal,
        )

    @property
    def folder(self) -> Path:
        return self.run.folder

    def examples(self) -> set[str]:
        curated = Artifact(self.folder, "curate", Curated, run_key(self.folder, self.ring)).read()
        return {e.call_id for e in curated.examples}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path / "home")
    yield made
    made.store.close()


def test_erasing_reaches_the_runs_names_the_specialists_and_marks_the_report(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    assert house.examples() == {"a0", "a1", "a2", "b0", "b1", "b2"}
    old = {p.name: p.read_bytes() for p in house.folder.glob("*.sealed")}
    assert run(["--home", str(house.home), "erase", "--origin", "ann.weber"]) == 0
    said = capsys.readouterr().out
    assert "3 calls erased" in said and "3 examples taken out of run" in said
    assert "2 erased calls of 4" in said
    offered = [line.strip() for line in said.splitlines() if line.startswith("  deputize")]
    home = f"deputize --home {house.home} "
    assert offered == [
        home + "convert --epsilon 0.04 --explore --minutes 7.0",
        home + "route promote route-t --to live",
    ]
    assert "Its routes are closed" in said
    assert read_routes(house.home / "routes.json").routes[0].state == "closed"
    assert house.examples() == {"b0", "b1", "b2"}
    discovered = house.run.artifact("cluster", Discovered).read()
    assert set(discovered.assignment) == {"b0", "b1", "b2"}
    assert all(p.read_bytes() != old[p.name] for p in house.folder.glob("*.sealed"))
    assert not list((house.home / "forgetting").glob("*"))


def test_what_was_erased_is_unreadable_in_backups_too(house: House) -> None:
    """Copies of the store, of the runs and of the ring file from before, with today's keys: nothing of it opens."""
    backup = house.home.parent / "backup"
    shutil.copytree(house.home, backup)
    assert run(["--home", str(house.home), "erase", "--origin", "ann.weber"]) == 0
    ring = KeyRing.open_existing(house.home)
    # today's keys on yesterday's files
    restored = house.home.parent / "restored"
    shutil.copytree(house.home, restored)
    for suffix in ("", "-wal", "-shm"):
        (restored / f"store.db{suffix}").unlink(missing_ok=True)
        if (backup / f"store.db{suffix}").exists():
            shutil.copy(backup / f"store.db{suffix}", restored / f"store.db{suffix}")
    old = SqliteStore(restored / "store.db", ring)
    assert old.count() == 6, "the backup has the rows"
    with pytest.raises((StoreError, Tampered)):
        list(old.calls())
    old.close()
    run_id = house.folder.name
    for name in ("curate.sealed", KEY_FILE):
        shutil.copy(backup / "runs" / run_id / name, restored / "runs" / run_id / name)
    with pytest.raises((StoreError, Tampered)):
        Artifact(
            restored / "runs" / run_id, "curate", Curated, run_key(restored / "runs" / run_id, ring)
        ).read()
    # yesterday's artifact under today's run key
    with pytest.raises(Tampered):
        Artifact(backup / "runs" / run_id, "curate", Curated, run_key(house.folder, ring)).read()
    # and everybody else is still there
    assert {c.id for c in Home(house.home, keyring=ring).open_store().calls()} == {"b0", "b1", "b2"}


def test_the_lines_that_are_offered_can_be_used_as_they_are(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["--home", str(house.home), "--json", "erase", "--origin", "ann.weber", "--keep-routes"]) == 0
    assert read_routes(house.home / "routes.json").routes[0].state == "live"
    close, convert, _ = (shlex.split(line)[1:] for line in json.loads(capsys.readouterr().out)["retrain"])
    assert run(close) == 0
    assert read_routes(house.home / "routes.json").routes[0].state == "closed"
    # convert as far as its settings: they are those of the run that trained the specialist
    given = CONVERT.make_context("convert", convert[3:]).params
    options = {name: value for name, value in given.items() if name in Convert.model_fields}
    assert settings(house.opened, options) == house.run.config


@pytest.mark.parametrize("content", ["[convert]\nepsilon = 7\n", "rubbish"])
def test_a_config_that_cannot_be_used_does_not_stand_in_the_way(
    house: House,
    content: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (house.home / "config.toml").write_text(content)
    monkeypatch.setenv("DEPUTIZE_MODELS", str(tmp_path / "no-models"))
    assert run(["--home", str(house.home), "erase", "--origin", "ann.weber"]) == 0
    assert "convert --epsilon 0.04 --explore --minutes 7.0" in capsys.readouterr().out


def test_a_route_that_is_closed_is_not_offered_to_be_opened(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["--home", str(house.home), "route", "close", "route-t"]) == 0
    assert run(["--home", str(house.home), "erase", "--origin", "ann.weber"]) == 0
    said = capsys.readouterr().out
    assert "convert --epsilon" in said and "promote" not in said
    (house.home / "routes.json").unlink()
    assert run(["--home", str(house.home), "erase", "--origin", "ann.weber"]) == 0
    said = capsys.readouterr().out
    assert f"No route uses it: {house.home / 'runs'}" in said and "convert" not in said


def test_files_that_left_the_home_are_named_until_they_are_gone(
    house: House, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, origin in enumerate(("", "bob")):
        note_copy(
            house.opened,
            ClearTextCopy(
                path=str(tmp_path / f"out{number}"),
                what="raw calls",
                by="k",
                at=1.7e9,
                call_ids=["b0"] if origin else ["a0", "a1", "b0"],
            ),
        )
        (tmp_path / f"out{number}").write_text("text")
    written = b"".join(p.read_bytes() for p in (house.home / "copies").iterdir())
    forms = [mark + call_id for mark in (b'"', b"\xa2") for call_id in (b"a0", b"a1", b"b0")]  # JSON, msgpack
    assert not any(form in written for form in forms), "the list of calls is sealed"
    assert run(["--home", str(house.home), "erase", "--origin", "ann.weber"]) == 0
    said = capsys.readouterr().out
    assert f"{tmp_path / 'out0'} (raw calls, 2023-11-14, by k) holds 2 of them in clear: delete it." in said
    assert "out1" not in said
    (tmp_path / "out0").unlink()
    assert run(["--home", str(house.home), "erase", "--origin", "ann.weber"]) == 0
    assert "in clear" not in capsys.readouterr().out


def test_damaged_journal_files_are_named(house: House, capsys: pytest.CaptureFixture[str]) -> None:
    (house.home / "journal").mkdir()
    (house.home / "journal" / "1-x-00000001.damaged").write_bytes(b"of anybody")
    assert run(["--home", str(house.home), "erase", "--origin", "ann.weber"]) == 0
    assert "1-x-00000001.damaged" in capsys.readouterr().err


def test_old_pages_that_a_reader_holds_are_said_and_go_the_next_time(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    house.store.close()
    with closing(sqlite3.connect(house.home / "store.db", isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM calls").fetchone()
        short = SqliteStore(house.home / "store.db", house.ring, busy_timeout_s=0.05)
        short.erase(house.ann)
        assert not short.compact()
        reader.execute("COMMIT")
        assert short.compact()
        short.close()
        assert (house.home / "store.db-wal").stat().st_size == 0


def test_nothing_of_the_erased_is_left_in_any_byte(house: House) -> None:
    with closing(sqlite3.connect(house.home / "store.db")) as db:
        payloads = [bytes(r[0]) for r in db.execute("SELECT payload FROM calls ORDER BY time, seq")]
        keys = [bytes(r[0]) for r in db.execute("SELECT wrapped FROM data_keys")]
    assert run(["--home", str(house.home), "erase", "--origin", "ann.weber"]) == 0
    house.store.close()
    everything = b"".join(p.read_bytes() for p in house.home.rglob("*") if p.is_file())
    gone = [p for p in payloads if p not in everything]
    assert len(gone) == 3, "the payloads of the erased are overwritten, the others stand"
    assert not any(key in everything for key in keys), "no data key stands as it was wrapped before"
    assert SECRET.encode() not in everything and b"ann.weber" not in everything


def test_backups_can_be_kept_and_the_command_says_what_that_means(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    before = house.ring.wrapping_id
    assert run(["--home", str(house.home), "erase", "--origin", "ann.weber", "--keep-backups"]) == 0
    assert "can still be read" in capsys.readouterr().out
    assert KeyRing.open(house.home).wrapping_id == before


def test_an_erasure_while_a_run_is_at_work_is_done_and_the_run_forgets_at_its_end(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    with house.opened.exclusive("run"):
        assert run(["--home", str(house.home), "erase", "--origin", "ann.weber"]) == 0
        assert "drops what is gone when it ends" in capsys.readouterr().err
        assert {c.id for c in house.store.calls()} == {"b0", "b1", "b2"}
        finish(house.run)
    assert house.examples() == {"b0", "b1", "b2"}


def test_a_run_is_for_its_owner_only(house: House) -> None:
    assert house.folder.stat().st_mode & 0o077 == 0


def test_it_is_all_in_the_audit_log(house: House) -> None:
    assert run(["--home", str(house.home), "erase", "--origin", "ann.weber"]) == 0
    log = AuditLog(house.home, KeyRing.open(house.home))
    actions = [(e.action, e.subject) for e in log.entries()]
    run_id = house.folder.name
    for wanted in (("read.curated", run_id), ("erase", house.ann), ("keys.rotate", house.ring.id)):
        assert wanted in actions
    assert log.verify().ok


def test_rotation_keeps_the_runs_readable(house: House) -> None:
    before = (house.folder / KEY_FILE).read_bytes()
    sealed = (house.folder / "curate.sealed").read_bytes()
    assert run(["--home", str(house.home), "keys", "rotate"]) == 0
    assert (house.folder / KEY_FILE).read_bytes() != before
    assert (house.folder / "curate.sealed").read_bytes() == sealed, "wrapped again, not written again"
    house.ring.reload()
    assert len(house.examples()) == 6


# --- stopped in between


class Stop(Exception):
    """Stands for a kill."""


def test_a_rewrite_stopped_while_writing_leaves_the_old(house: House) -> None:
    def half(folder: Path, sealer: object) -> None:
        (folder / "curate.sealed").write_bytes(b"half")
        raise Stop

    with pytest.raises(Stop):
        rewrite(house.folder, house.ring, half)
    assert len(house.examples()) == 6
    assert forget_in_runs(house.opened) == {}


def test_a_rewrite_stopped_while_moving_is_finished_by_the_next_reader(house: House) -> None:
    new = Curated(examples=[], sites=[], n_calls=0, n_episodes=0, n_code_calls=0)
    staging = house.home / "forgetting" / house.folder.name
    moved: list[bytes] = []

    def write(folder: Path, sealer: Sealer) -> None:
        Artifact(folder, "curate", Curated, sealer).write(new)
        moved.append((folder / "curate.sealed").read_bytes())

    old_key = (house.folder / KEY_FILE).read_bytes()
    rewrite(house.folder, house.ring, write)
    new_key = (house.folder / KEY_FILE).read_bytes()
    # as a kill between the two moves leaves it: the artifact in its place, the key still next to it
    (house.folder / KEY_FILE).write_bytes(old_key)
    staging.mkdir(parents=True)
    (staging / KEY_FILE).write_bytes(new_key)
    assert house.examples() == set()
    assert not staging.exists()
    finish_forgetting(house.folder)


def test_a_run_key_belongs_to_its_run(house: House) -> None:
    other = house.home / "runs" / "9999-other"
    other.mkdir()
    shutil.copy(house.folder / KEY_FILE, other / KEY_FILE)
    with pytest.raises(Tampered):
        run_key(other, house.ring)
    (other / KEY_FILE).write_bytes(b"{")
    with pytest.raises(Tampered):
        run_key(other, house.ring)


def test_a_run_from_before_there_were_run_keys_is_read_and_gets_one_when_it_forgets(house: House) -> None:
    for path in house.folder.glob("*.sealed"):
        kind = stage_of(path.stem).artifact
        record = house.run.artifact(path.stem, kind).read()
        Artifact(house.folder, path.stem, kind, house.ring).write(record)
    (house.folder / KEY_FILE).unlink()
    assert len(house.examples()) == 6
    assert run(["--home", str(house.home), "erase", "--origin", "ann.weber"]) == 0
    assert house.examples() == {"b0", "b1", "b2"} and (house.folder / KEY_FILE).exists()


def test_only_an_erasure_officer_erases_for_others(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    from deputize.store.access.api_keys import ApiKeys

    made = ApiKeys(house.home, house.ring).create("erasure_officer", tenant="shop")
    monkeypatch.setenv("DEPUTIZE_KEY", made.text)
    assert run(["--home", str(house.home), "erase", "--origin", "ann.weber"]) == 5, (
        "ann is not of that tenant"
    )
    assert house.store.count() == 6


@pytest.mark.parametrize("tenant", ["default", "shop"])
def test_who_was_imported_can_be_erased(
    tenant: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same id at the import, at the gateway and at the erasure means the same person of a tenant."""
    log, home = tmp_path / "log.jsonl", str(tmp_path / "home")
    rows = [
        {
            "id": f"{name}{i}",
            "origin": name,
            "tenant": tenant,
            "timestamp": 1.7e9 + i,
            "messages": [{"role": "user", "content": "hi"}],
            "response": {"role": "assistant", "content": "yes"},
        }
        for name in ("ann.weber", "bob")
        for i in range(3)
    ]
    log.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert run(["--home", home, "import", str(log)]) == 0
    if tenant != "default":
        assert run(["--home", home, "erase", "--origin", "ann.weber"]) == 0
        assert "Not looked at: calls that only mention the person" in capsys.readouterr().out
    capsys.readouterr()
    assert run(["--home", home, "--json", "erase", "--origin", "ann.weber", "--tenant", tenant]) == 0
    assert json.loads(capsys.readouterr().out)["n_calls"] == 3
    assert run(["--home", home, "--json", "import", str(log)]) == 0
    done = json.loads(capsys.readouterr().out)
    assert (done["n_calls"], done["n_stored"]) == (0, 3), "the log that still lies about brings nobody back"


def test_people_who_are_only_mentioned_are_found_by_a_text(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    mentioned = [{"role": "user", "content": "Call Zoelinde  MEYER back."}]
    house.store.append(
        [msgspec.structs.replace(call("z1", origin=house.bob, timestamp=9.0), messages=mentioned)]
    )
    at = ["--home", str(house.home), "erase"]
    assert run([*at, "--find", "zoelinde meyer", "--dry-run"]) == 0
    assert "1 of 7 calls" in capsys.readouterr().out and house.store.count() == 7
    assert run([*at, "--find", "zoelinde meyer"]) == 0
    assert "1 calls erased" in capsys.readouterr().out
    assert {c.id for c in house.store.calls()} == {"a0", "a1", "a2", "b0", "b1", "b2"}
    log = (house.home / "audit.log").read_text()
    assert "zoelinde" not in log.lower() and "meyer" not in log.lower(), (
        "the text that was looked for is nowhere"
    )
    assert run([*at, "--episode", "nothing"]) == 0
    said = capsys.readouterr().out
    assert "0 calls erased" in said and "Not looked at: calls that only mention the person" in said
    assert run(at) == 2, "something has to be said"


def test_logs_that_may_quote_a_text_are_emptied(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    (house.home / "engine.log").write_text(SECRET)

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError(SECRET)

    with monkeypatch.context() as patch:
        patch.setattr("deputize.cli.report.read_report", fail)
        assert run(["--home", str(house.home), "report"]) == 1
    (trace,) = (house.home / "traces").glob("*.trace")
    assert SECRET in trace.read_text() and trace.stat().st_mode & 0o077 == 0
    assert run(["--home", str(house.home), "erase", "--origin", "ann.weber"]) == 0
    assert not trace.exists() and (house.home / "engine.log").read_bytes() == b""


def test_links_in_place_of_logs_lead_an_erasure_nowhere(house: House, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine.trace").write_text("precious")
    (house.home / "traces").symlink_to(elsewhere)
    (house.home / "engine.log").symlink_to(elsewhere / "mine.trace")
    assert run(["--home", str(house.home), "erase", "--origin", "ann.weber"]) == 0
    assert (elsewhere / "mine.trace").read_text() == "precious"


def test_while_a_gateway_records_a_search_says_what_it_may_have_missed(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    at = ["--home", str(house.home), "erase"]
    assert run([*at, "--find", "nobody at all"]) == 0 and "is recording" not in capsys.readouterr().err
    with Home(house.home) as home:
        segment = Segment.create(home.journals[0] / "x.journal", bytes(32))
        try:
            assert run([*at, "--find", "nobody at all"]) == 0
            assert "calls of the last seconds may not have been in the store" in capsys.readouterr().err
            assert run([*at, "--origin", "nobody"]) == 0
            assert "calls of the last seconds" in capsys.readouterr().err, "steps that name nobody come late"
        finally:
            segment.shred()


@pytest.mark.parametrize("option", ["--origin", "--episode", "--conversation", "--find"])
@pytest.mark.parametrize("said", ["", "  ", "\u200b"])
def test_an_option_that_says_nothing_is_refused(
    house: House, option: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A variable of a script that is empty must not stand for every call that has no run."""
    house.store.append([call("n0", episode="", timestamp=9.0)])
    before = house.ring.wrapping_id
    for more in ([], ["--dry-run"], ["--find", "somebody else"]):
        assert run(["--home", str(house.home), "erase", option, said, *more]) == 2
    assert "nothing" in capsys.readouterr().err
    assert house.store.count() == 7 and KeyRing.open(house.home).wrapping_id == before


def test_backups_stay_readable_where_nothing_was_found(
    house: House, capsys: pytest.CaptureFixture[str]
) -> None:
    before = house.ring.wrapping_id
    at = ["--home", str(house.home), "--json", "erase"]
    assert run([*at, "--origin", "anne.weber"]) == 0
    done = json.loads(capsys.readouterr().out)
    assert done["n_calls"] == 0 and done["older_copies_readable"]
    assert KeyRing.open(house.home).wrapping_id == before
    assert run([*at, "--origin", "ann.weber"]) == 0
    after = KeyRing.open(house.home).wrapping_id
    assert after != before
    assert run([*at, "--origin", "ann.weber"]) == 0
    assert KeyRing.open(house.home).wrapping_id == after, "there was nothing left of her"


def test_an_erasure_that_was_stopped_is_ended_by_the_next_one(house: House) -> None:
    before = house.ring.wrapping_id
    # as a kill leaves it: the store has let go of her, runs and older copies have not
    erase(house.opened, owner(), Wanted(origin="ann.weber"))
    assert house.examples() > {"a0"}
    assert run(["--home", str(house.home), "erase", "--find", "nobody at all"]) == 0
    assert house.examples() == {"b0", "b1", "b2"}
    after = KeyRing.open(house.home).wrapping_id
    assert after != before, "copies of before open no more"
    assert not list(house.home.glob("*.pending"))
    assert run(["--home", str(house.home), "erase", "--find", "nobody at all"]) == 0
    assert KeyRing.open(house.home).wrapping_id == after


def test_what_a_killed_curation_had_written_goes_too(house: House) -> None:
    """A stage that is killed leaves a part of its artifact, under the key that the run goes on with."""
    other = open_run(house.opened, Convert(epsilon=0.03), silent)
    curated = house.run.artifact("curate", Curated).read()
    part = other.folder / ".curate.sealed.part"
    program = f"""
import os
from pathlib import Path
from deputize.core.artifacts import Curated
from deputize.core.records import decode
from deputize.home import Home
from deputize.pipeline.run import artifact_of
with Home(Path({str(house.home)!r})) as home:
    with artifact_of(home, {other.state.run_id!r}, "curate", Curated).writing() as stream:
        for example in decode(Path({str(house.home.parent / "in")!r}).read_bytes(), Curated).examples:
            stream.add(example)
        stream._file.flush()
        os.kill(os.getpid(), 9)
"""
    (house.home.parent / "in").write_bytes(encode(curated))
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    assert part.stat().st_size > 1000 and (other.folder / KEY_FILE).exists()
    assert run(["--home", str(house.home), "erase", "--origin", "ann.weber"]) == 0
    assert not part.exists()
