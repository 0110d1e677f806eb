"""Curated text is shown and exported to those who may see it, and every look is in the audit log."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deputize.cli.main import run
from deputize.core.artifacts import Curated
from deputize.core.config import Convert
from deputize.core.errors import AccessDenied, BadInput
from deputize.core.records import Call, Example, Outcome
from deputize.dataset import Dataset
from deputize.home import Home
from deputize.maintenance.erasure import erase
from deputize.maintenance.find_calls import Wanted
from deputize.pipeline import conversion
from deputize.pipeline.run import Run
from deputize.store.access.audit_log import AuditLog
from deputize.store.access.roles import RIGHTS, Actor, Right, Role, owner
from deputize.store.keys.keyring import KeyRing
from deputize.testing import ScriptedUpstream, always, in_thread

NAME = "Mia Zelmanovich"


def fill(home: Path) -> None:
    keyring = KeyRing.open(home)
    store = Home(home, keyring=keyring).open_store()
    store.append(
        [
            Call(
                id=f"{NAME}/{n}",
                agent="a",
                episode=f"e{n}",
                tenant=("north", "south")[n % 2],
                timestamp=1e9 + n,
                origin=keyring.pseudonym(f"customer-{n % 7}", ("north", "south")[n % 2]),
                messages=[
                    {"role": "system", "content": "Say whether the parcel is late. Answer with yes or no."},
                    {"role": "user", "content": f"My name is {NAME}, mail mia{n}@mail.com. Parcel {n}."},
                ],
                response={"role": "assistant", "content": ("yes", "no")[n % 2] if n % 40 else ""},
                outcome=Outcome(success=n % 6 != 0),
            )
            for n in range(120)
        ]
    )
    store.close()


def run_stage(home: Path, step: str, config: Convert, *, again: bool = False) -> Run:
    with Home(home) as opened:
        return conversion.run_stage(opened, step, config, again=again)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("home")
    fill(home)
    run_stage(home, "curate", Convert(share_across_tenants=True))
    run_stage(home, "cluster", Convert(share_across_tenants=True))
    return home


def actions(home: Path) -> list[str]:
    return [e.action for e in AuditLog(home, KeyRing.open(home)).entries() if e.action != "keys.use"]


def test_the_card_lies_in_the_run_folder_without_personal_data(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["--home", str(home), "dataset", "card"]) == 0
    shown = capsys.readouterr().out
    assert "# Dataset card" in shown and "from 14 known origins" in shown
    assert "Zelmanovich" not in shown and "mail.com" not in shown


def test_rows_can_be_what_was_dropped(home: Path, tmp_path: Path) -> None:
    done = Dataset(Home(home), None, owner()).export(tmp_path / "out", "jsonl", chosen="dropped")
    rows = [
        json.loads(x) for p in (tmp_path / "out").glob("*.jsonl") for x in p.read_text("utf-8").splitlines()
    ]
    assert sum(done.rows.values()) == len(rows) and all(r["drop_reason"] for r in rows)
    with pytest.raises(BadInput, match="Nothing is left"):
        Dataset(Home(home), None, owner()).export(tmp_path / "b", "jsonl", splits=["test"], chosen="dropped")


@pytest.mark.parametrize("role", list(Role))
def test_only_who_may_read_curated_text_sees_any(role: Role, home: Path, tmp_path: Path) -> None:
    actor = Actor(name="k_1", role=role.value)
    data = Dataset(Home(home), None, actor)
    if Right.READ_CURATED in RIGHTS[role]:
        assert data.dropped() and data.export(tmp_path / "out", "jsonl").rows
        return
    for look in (data.dropped, lambda: data.export(tmp_path / "out", "jsonl"), lambda: data.restore(["x"])):
        with pytest.raises(AccessDenied, match="read curated text"):
            look()
        assert actions(home)[-1] == "denied"
    assert not (tmp_path / "out").exists()


def test_a_curator_of_one_tenant_gets_that_tenant_only(home: Path, tmp_path: Path) -> None:
    everything = Dataset(Home(home), None, owner()).export(tmp_path / "all", "jsonl", chosen="all")
    part = Dataset(Home(home), None, Actor(name="k", role="curator", tenant="north")).export(
        tmp_path / "n", "jsonl", chosen="all"
    )
    assert sum(everything.rows.values()) == 120 and sum(part.rows.values()) == 60


def test_what_was_put_back_is_trained_on_by_the_next_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    fill(home)
    run_stage(home, "curate", Convert(share_across_tenants=True))
    data = Dataset(Home(home), None, owner())
    chosen = next(d.call_id for d in data.dropped() if d.reason == "failed episode")
    assert run(["--home", str(home), "dataset", "restore", "nothing"]) == 3
    assert run(["--home", str(home), "dataset", "restore", chosen]) == 0
    assert actions(home)[-1] == "dataset.restore"
    assert NAME not in "".join(p.read_bytes().decode("latin-1") for p in home.glob("restored*"))
    run_stage(home, "curate", Convert(share_across_tenants=True), again=True)
    assert chosen not in {d.call_id for d in data.dropped()}
    assert run(["--home", str(home), "dataset", "restore", chosen, "--undo"]) == 0
    run_stage(home, "curate", Convert(share_across_tenants=True), again=True)
    assert chosen in {d.call_id for d in data.dropped()}
    assert run(["--home", str(home), "dataset", "restore", chosen, "--undo"]) == 3


def test_calls_that_were_erased_are_neither_shown_nor_exported(tmp_path: Path) -> None:
    home = tmp_path / "home"
    fill(home)
    run_stage(home, "curate", Convert(share_across_tenants=True))
    data = Dataset(Home(home), None, owner())
    n_before = len(data.dropped())
    whole = data.export(tmp_path / "before", "jsonl", chosen="all")
    with Home(home) as opened:
        done = erase(opened, owner(), Wanted(origin="customer-0"), tenant="north")
    exported = data.export(tmp_path / "out", "jsonl", chosen="all")
    assert exported.n_erased == len(done.erased.call_ids) > 0
    assert sum(exported.rows.values()) == 120 - exported.n_erased
    assert len(data.dropped()) < n_before
    # what left before is known, call by call
    assert sum(whole.rows.values()) == 120
    (copy,) = done.copies
    assert (copy.path, copy.what) == (str(tmp_path / "before"), f"dataset of run {data.run_id}")
    assert copy.call_ids == sorted(done.erased.call_ids)


def test_a_stage_alone_drops_what_was_erased_while_it_was_at_work(tmp_path: Path) -> None:
    fill(tmp_path / "first")
    events: list[str] = []
    config = Convert(share_across_tenants=True)
    with Home(tmp_path / "first") as first:
        conversion.run_stage(first, "curate", config, progress=lambda what, *_: events.append(what))
    home, n_left = tmp_path / "home", len(events)
    fill(home)

    def erasing(what: str, done: int, total: int | None = None) -> None:
        nonlocal n_left
        n_left -= 1
        if n_left == 0:  # every call has been read by then
            with Home(home) as other:
                assert erase(other, owner(), Wanted(origin="customer-0"), tenant="north").erased.call_ids

    with Home(home) as opened:
        conversion.run_stage(opened, "curate", config, progress=erasing)
        assert n_left == 0
        held = [e.call_id for e in Dataset(opened, None, owner())._records() if isinstance(e, Example)]
        assert len(held) > 50 and not opened.store.erased(held)


def test_sensitive_terms_of_the_config_leave_no_trace_in_the_run_folder(tmp_path: Path) -> None:
    home = tmp_path / "home"
    fill(home)
    with in_thread(ScriptedUpstream(always("Parcel."))) as llm:
        (home / "config.toml").write_text(
            '[privacy]\nsensitive = ["re:Parcel \\\\d+"]\n'
            f'paraphraser = {{base_url = "{llm.url}", model = "scripted"}}\n'
        )
        done = run_stage(home, "curate", Convert(privacy="paraphrase", share_across_tenants=True))
    rows = list(Dataset(Home(home), None, owner())._records())
    texts = [e.request.messages[1]["content"] for e in rows if isinstance(e, Example)]
    assert len(texts) == 120 and not any(f"Parcel {n}." in t for n, t in enumerate(texts))
    # what the model said lost the rest, so it was not taken
    assert all("My name is" in text for text in texts)
    assert llm.n_requests > 0 and any(
        "were only" in w for r in rows if isinstance(r, Curated) for w in r.warnings
    )
    assert "Parcel" not in "".join(
        p.read_text("utf-8") for p in done.folder.iterdir() if p.suffix in (".json", ".md")
    )
