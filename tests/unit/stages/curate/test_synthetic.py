"""Synthetic examples: what they take over from the call that they were made from, and the file that keeps them."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace
from tests import tiny_tasks

from deputize.core.records import Outcome
from deputize.stages.curate.synthetic import (
    fitting,
    forget_synthetic,
    has_synthetic,
    read_synthetic,
    synthetic_example,
    write_synthetic,
)
from deputize.store.keys.keyring import KeyRing

SOURCE = replace(
    tiny_tasks.example("label", 1, "train"),
    origin="someone",
    weight=3.0,
    outcome=Outcome(success=True),
    repeated=["label-2"],
    logprobs=[[("yes", -0.1)]],
)


def test_one_is_a_new_message_and_answer_of_the_same_person_and_group() -> None:
    made = synthetic_example(SOURCE, "another parcel", {"role": "assistant", "content": "no"}, "writer")
    assert made.request.messages[:-1] == SOURCE.request.messages[:-1]
    assert made.request.messages[-1] == {"role": "user", "content": "another parcel"}
    assert (made.group, made.origin, made.made_from) == (SOURCE.group, "someone", SOURCE.call_id)
    assert made.call_id.startswith("synthetic-") and made.training_only and made.answered_by == "writer"
    assert (made.weight, made.outcome, made.repeated, made.logprobs) == (1.0, None, [], [])
    assert synthetic_example(SOURCE, "a third", {}, "writer").call_id != made.call_id


def test_they_are_kept_sealed_and_go_with_their_source(tmp_path: Path) -> None:
    keyring = KeyRing.open(tmp_path)
    made = [synthetic_example(SOURCE, f"parcel {n}", {"content": "no"}, "writer") for n in range(3)]
    other = replace(made[2], made_from="label-9")
    assert not has_synthetic(tmp_path) and read_synthetic(tmp_path, keyring) == {}
    write_synthetic(tmp_path, keyring, {e.call_id: e for e in [*made[:2], other]})
    assert has_synthetic(tmp_path)
    assert b"parcel" not in (tmp_path / "synthetic.sealed").read_bytes()
    assert set(read_synthetic(tmp_path, keyring)) == {e.call_id for e in made}
    assert fitting([*made[:2], other], {"label-9"}) == [other]
    forget_synthetic(tmp_path, keyring, lambda ids: {id for id in ids if id == SOURCE.call_id})
    assert list(read_synthetic(tmp_path, keyring).values()) == [other]
