"""What stages hand on survives JSON, and keys of a task stay those of the task."""

from __future__ import annotations

import msgspec

from deputize.core.artifacts import Candidate, Finetuned, Selected
from deputize.core.records import decode, encode


def test_what_selection_and_fine_tuning_hand_on_survives_json() -> None:
    row = Candidate(model="lora", note="not trained")
    finetuned = Finetuned(specialists=[], refused={"a": "no time"}, not_needed={"b": [row]})
    selected = Selected(candidates={"b": [row]}, plan={"b": ["linear"]}, base_model="m")
    assert decode(encode(finetuned), Finetuned) == finetuned
    assert decode(encode(selected), Selected) == selected


def test_what_is_not_known_takes_no_room() -> None:
    assert msgspec.json.decode(encode(Finetuned(specialists=[]))) == {"specialists": []}
    assert msgspec.json.decode(encode(Candidate(model="m"))) == {"model": "m"}
