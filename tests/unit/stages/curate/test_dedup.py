"""Duplicates: exact and near ones are dropped, and counted as weight."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from deputize.stages.curate.dedup import DedupItem, find_duplicates, sketch


def test_duplicates_become_weight() -> None:
    long = "please move my flight to the next morning because the meeting was shifted by the customer " * 3
    items = [
        DedupItem("a", "s", long),
        DedupItem("b", "s", long),
        DedupItem("c", "s", long + "!"),
        DedupItem("d", "other", long),
        DedupItem("f", "s", long + "!"),
        DedupItem("e", "s", "something else entirely, about baggage and seats and meals"),
    ]
    found = find_duplicates(map(sketch, items))
    assert found.reason == {"b": "exact duplicate", "c": "near duplicate", "f": "exact duplicate"}
    assert found.weight == {"a": 4.0}  # what a near duplicate stood for is stood for still


@given(
    st.lists(
        st.tuples(
            st.sampled_from("xy"), st.sampled_from(["a b c", "a b c d", "quite another text", "and one more"])
        ),
        max_size=25,
    )
)
def test_kept_items_and_their_weights_stand_for_every_item(pairs: list[tuple[str, str]]) -> None:
    items = [DedupItem(str(i), bucket, text * 9) for i, (bucket, text) in enumerate(pairs)]
    found = find_duplicates(map(sketch, items))
    kept = [i for i in items if i.id not in found.reason]
    assert sum(found.weight.get(i.id, 1.0) for i in kept) == len(items)
    assert not found.weight.keys() & found.reason.keys()
    assert {i.bucket for i in kept} == {i.bucket for i in items}


def test_no_items_no_duplicates() -> None:
    assert find_duplicates([]).reason == {} and json.dumps(find_duplicates([]).weight) == "{}"
