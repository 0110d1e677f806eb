from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deputize.core.artifacts import Finetuned, Specialist
from deputize.core.errors import AccessDenied, BadInput
from deputize.core.records import Call, Contract, PromptRecipe, Task
from deputize.home import Home
from deputize.maintenance.erasure import erase
from deputize.maintenance.find_calls import Wanted
from deputize.maintenance.lineage import trained_on_erased
from deputize.maintenance.retention import apply_retention
from deputize.pipeline.run import artifact_of
from deputize.store.access.roles import Actor, owner

OFFICER = Actor(name="eve", role="erasure_officer")
DAY = 86400.0


class House:
    def __init__(self, home: Path) -> None:
        self.home = Home(home, environ={})
        self.ring, self.audit = self.home.keyring, self.home.audit
        self.store = self.home.store = self.home.open_store(audited=False)
        ann, bob = (self.ring.pseudonym(n) for n in ("ann.weber", "bob"))
        self.store.append(
            [
                Call(
                    id=f"{name}{i}",
                    messages=[{"content": "secret"}],
                    response={},
                    origin=origin,
                    timestamp=i * DAY,
                )
                for name, origin in (("a", ann), ("b", bob))
                for i in range(1, 5)
            ]
        )

    def specialists(self, run_id: str, trained_on: dict[str, list[str]]) -> None:
        """A run that trained specialists (id -> calls that it was trained on)."""
        task = Task(id="t", name="t", contract=Contract(kind="label"), recipe=PromptRecipe(), keys=[])
        made = [
            Specialist(
                id=id,
                task_id="t",
                method="linear",
                model="",
                kind="linear",
                contract=task.contract,
                task=task,
                n_train=len(calls),
                train_s=0.0,
                trained_on=calls,
                path=f"runs/{run_id}/specialists/{id}",
            )
            for id, calls in trained_on.items()
        ]
        (self.home.runs_path / run_id).mkdir(parents=True)
        artifact_of(self.home, run_id, "finetune", Finetuned).write(Finetuned(specialists=made))


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.store.close()


def test_erasing_by_the_raw_id_or_the_pseudonym(house: House) -> None:
    done = erase(house.home, OFFICER, Wanted(origin="ann.weber"))
    assert done.erased.call_ids == ["a1", "a2", "a3", "a4"]
    assert {c.id for c in house.store.calls()} == {"b1", "b2", "b3", "b4"}
    pseudonym = house.ring.pseudonym("bob")
    assert len(erase(house.home, OFFICER, Wanted(origin=pseudonym)).erased.call_ids) == 4
    assert house.store.count() == 0
    log = [(e.action, e.actor, e.subject) for e in house.audit.entries() if e.action != "keys.use"]
    assert log == [("erase", "eve", house.ring.pseudonym("ann.weber")), ("erase", "eve", pseudonym)]
    assert b"ann.weber" not in (house.home.path / "audit.log").read_bytes()


def test_a_kept_conversation_that_cannot_be_read_goes_with_its_person(house: House) -> None:
    kept = house.home.conversations()
    kept.put("default", house.ring.pseudonym("ann.weber"), "resp_1", b"of another version")
    kept.put("default", house.ring.pseudonym("bob"), "resp_2", b"of another version")
    kept.close()
    assert erase(house.home, OFFICER, Wanted(origin="ann.weber")).n_conversations == 1
    kept = house.home.conversations()
    assert len(list(kept.all("default"))) == 1
    kept.close()


def test_only_who_may_erases(house: House) -> None:
    for actor in (Actor(name="x", role="admin"), Actor(name="x", role="erasure_officer", tenant="t2")):
        with pytest.raises(AccessDenied):
            erase(house.home, actor, Wanted(origin="ann.weber"))
    with pytest.raises(BadInput):
        erase(house.home, OFFICER, Wanted(origin=""))
    assert house.store.count() == 8


def test_lineage_names_the_specialists_that_were_trained_on_the_erased(house: House) -> None:
    house.specialists("0001-x", {"s-few": ["a1", "b1", "b2", "b3"], "s-none": ["b1", "b2"]})
    house.specialists("0002-y", {"s-many": ["a1", "a2", "a3"]})
    house.specialists("0003-z", {"s-lost": ["a1"]})
    (house.home.runs_path / "0003-z" / "finetune.sealed").write_bytes(b"{")
    assert trained_on_erased(house.home) == []
    found = erase(house.home, OFFICER, Wanted(origin="ann.weber")).trained_on
    assert [(t.specialist, t.run_id, t.erased) for t in found] == [
        ("s-many", "0002-y", ["a1", "a2", "a3"]),
        ("s-few", "0001-x", ["a1"]),
    ]
    assert found[1].path == "runs/0001-x/specialists/s-few"
    assert "1 erased calls of 4 (25 %)" in found[1].sentence


def test_retention_by_tenant(house: House) -> None:
    house.store.append([Call(id="other", messages=[], response={}, tenant="t2", timestamp=DAY)])
    gone = apply_retention(house.home, owner(), {"default": 2}, now=5 * DAY)
    assert gone == {"default": 4}
    assert {c.id for c in house.store.calls()} == {"a3", "a4", "b3", "b4", "other"}
    assert [(e.action, e.tenant) for e in house.audit.entries()][1:] == [("expire", "default")]
    with pytest.raises(BadInput, match="positive"):
        apply_retention(house.home, owner(), {"default": 0})
    with pytest.raises(AccessDenied):
        apply_retention(house.home, OFFICER, {"default": 2})
