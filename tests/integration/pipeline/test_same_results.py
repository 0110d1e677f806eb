"""The same log and seed give the same results in another home: nothing of its keys leaks into them but surrogates."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deputize.core.artifacts import Curated, Discovered, Finetuned
from deputize.core.config import Convert
from deputize.core.records import Call
from deputize.core.task_results import Evaluated
from deputize.home import Home
from deputize.pipeline.conversion import convert
from deputize.pipeline.run import Run, latest_run, read_state

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

WORDS = ["refund", "late", "broken", "invoice", "parcel", "please", "today", "again", "lamp", "chair", "box"]
NAMES = ["Anna Smith", "Tom Garcia", "Maria Rossi", "Karl Weber"]


def letters(n: int, *, with_names: bool) -> Iterator[Call]:
    """A log of two jobs, with ids in no order; the second is asked for a name where there are names."""
    dice = random.Random(5)
    for i in range(n):
        words = dice.choices(WORDS, k=8)
        order, name = f"AB-{dice.randrange(10**5):05d}", dice.choice(NAMES)
        if i % 2:
            system, reply = (
                "Extract the order number and the first word as JSON.",
                {"order": order, "word": words[0]},
            )
        else:
            system, reply = "Sort the letter into a queue.", None
        signed = f"\nCustomer: {name}" if with_names else ""
        yield Call(
            id=f"{dice.randrange(10**9)}-{i}",
            agent="desk",
            episode=f"{dice.randrange(10**6)}-{i // 2}",
            messages=[
                {"role": "system", "content": system},
                {"role": "user", "content": f"Order: {order}{signed}\nletter: {' '.join(words)}"},
            ],
            response={
                "role": "assistant",
                "content": json.dumps(reply)
                if reply
                else ("money" if {"refund", "invoice"} & {*words} else "goods"),
            },
            model="gpt-4o",
            timestamp=1.7e9 + 60 * i,
            origin=f"o{i % 60}",
        )


def converted(folder: Path, *, with_names: bool, stop_after: str | None = None) -> dict[str, Any]:
    """Results of a run in a fresh home, those that a reader or a route sees."""
    with Home(folder) as home:
        home.store.append(list(letters(420, with_names=with_names)))
        convert(home, Convert(methods=("linear",), epsilon=0.1), stop_after=stop_after)
        run = Run(home, read_state(home, latest_run(home) or ""))
        curated, discovered = run.load("curate", Curated), run.load("cluster", Discovered)
        found: dict[str, Any] = {
            "splits": [(e.call_id, e.split, e.drop_reason) for e in curated.examples],
            "tasks": discovered.tasks,
            "assignment": discovered.assignment,
            "entities": curated.entities,
            "texts": [e.request.messages for e in curated.examples],
        }
        if stop_after is None:
            found["weights"] = {s.id: s.checksums for s in run.load("finetune", Finetuned).specialists}
            found["claims"] = [
                (r.task_id, r.certificate.threshold, r.certificate.p_value, r.certificate.share_served)
                for r in run.load("evaluate", Evaluated).results
                if r.certificate is not None
            ]
        return found


def test_another_home_gives_the_same_tasks_thresholds_and_bits_of_models(tmp_path: Path) -> None:
    one, other = (converted(tmp_path / name, with_names=False) for name in ("one", "other"))
    assert one["entities"] == {}, "nothing is replaced, so that not even surrogates differ"
    assert len(one["claims"]) == 2 and all(one["weights"].values())
    for what, found in one.items():
        assert found == other[what], what


def test_of_personal_data_only_the_surrogates_are_others(tmp_path: Path) -> None:
    """Surrogates come from a secret of the home, so that nobody can try which name stands behind one."""
    one, other = (
        converted(tmp_path / name, with_names=True, stop_after="cluster") for name in ("one", "other")
    )
    assert one.pop("texts") != other.pop("texts")
    assert one == other
