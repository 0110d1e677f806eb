"""Wordings: values do not count, similar ones form families, and a group is in one split."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from deputize.privacy.tagger import Sample, families, sample_of, skeleton, split_by_group


def sample(text: str, *spans: tuple[str, str]) -> Sample:
    """A sample whose spans are given as (type, value)."""
    return sample_of(
        {
            "id": "s",
            "text": text,
            "spans": [{"type": k, "start": text.index(v), "end": text.index(v) + len(v)} for k, v in spans],
        }
    )


def test_skeleton_forgets_values_and_keeps_wording() -> None:
    one = sample("Dear Ann Lee,\n your code 4711 of 3e:c8:d5:df:b5:59", ("PERSON", "Ann Lee"))
    two = sample("Dear Bob Ray, your   code 12 of d1:2f:4b:c3:c0:8a", ("PERSON", "Bob Ray"))
    assert skeleton(one) == skeleton(two) == "Dear <PERSON>, your code 0 of <HEX>"


def test_families_join_like_wordings() -> None:
    texts = [
        "Invoice 12 for the order of blue chairs is due on Monday next week",
        "Invoice 99 for the order of green chairs is due on Monday next week",
        "The weather in the mountains was cold and we stayed inside all day",
        "hello",
        "hello",
    ]
    family = families([sample(t) for t in texts])
    assert family[0] == family[1] and family[3] == family[4]
    assert len(set(family)) == 3
    assert families([]) == []


@given(st.lists(st.integers(0, 8), max_size=80), st.integers(0, 9))
def test_split_keeps_groups_whole_and_is_seeded(groups: list[int], seed: int) -> None:
    sides = split_by_group(groups, (0.6, 0.1, 0.3), seed)
    assert sides == split_by_group(groups, (0.6, 0.1, 0.3), seed)
    by_group: dict[int, set[int]] = {}
    for group, side in zip(groups, sides, strict=True):
        by_group.setdefault(group, set()).add(side)
    assert all(len(s) == 1 for s in by_group.values())


def test_split_meets_its_shares() -> None:
    sides = split_by_group(list(range(1000)), (0.6, 0.1, 0.3), 3)
    assert [sides.count(k) for k in range(3)] == [600, 100, 300]
