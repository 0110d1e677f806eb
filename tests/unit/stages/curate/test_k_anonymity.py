"""k and l are what pycanon counts over rows; over people they count nobody twice."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deputize.core.records import Example, Request
from deputize.stages.curate.k_anonymity import COLUMNS, Combinations, KAnonymity, MetadataRow, metadata_row

NAMES = ("a", "b", "c")
rows = st.lists(
    st.builds(
        MetadataRow,
        metadata=st.tuples(st.sampled_from("xy"), st.sampled_from("uv"), st.sampled_from("w")),
        person=st.integers(0, 4),
        sensitive=st.integers(0, 3),
    ),
    min_size=1,
    max_size=40,
)


def anonymity(made: list[MetadataRow], columns: Sequence[str], chosen: Sequence[str]) -> KAnonymity:
    combinations = Combinations(columns)
    for row in made:
        combinations.add(row)
    return combinations.measure(chosen)


@settings(max_examples=40, deadline=None)
@given(rows)
def test_rows_are_counted_as_pycanon_counts_them(made: list[MetadataRow]) -> None:
    pandas = pytest.importorskip("pandas")
    pycanon = pytest.importorskip("pycanon.anonymity")
    frame = pandas.DataFrame([[*r.metadata, r.sensitive] for r in made], columns=[*NAMES, "s"])
    ours = anonymity(made, NAMES, NAMES)
    assert ours.k_rows == pycanon.k_anonymity(frame, list(NAMES))
    assert ours.l == pycanon.l_diversity(frame, list(NAMES), ["s"])


@given(rows)
def test_people_are_never_more_than_rows_and_finer_is_never_safer(made: list[MetadataRow]) -> None:
    fine, coarse = anonymity(made, NAMES, NAMES), anonymity(made, NAMES, NAMES[:1])
    assert fine.k_people <= fine.k_rows and fine.k_people <= coarse.k_people and fine.l <= coarse.l
    assert fine.share_small >= coarse.share_small


def test_a_person_with_many_rows_is_one_person() -> None:
    made = [MetadataRow(("x",), "one", i) for i in range(9)]
    found = anonymity(made, ["a"], ["a"])
    assert (found.k_people, found.k_rows, found.l, found.share_small) == (1, 9, 9, 1.0)


def test_only_columns_that_vary_are_reported_and_the_last_row_joins_them() -> None:
    def example(n: int) -> Example:
        return Example(
            call_id=f"c{n}",
            request=Request(messages=[], agent="desk"),
            response={"content": str(n % 3)},
            audience="code",
            site=f"s{n % 2}",
            episode=f"e{n}",
            group="",
            origin=f"o{n % 7}",
            timestamp=n * 3600.0,
            model="m",
        )

    combinations = Combinations()
    for n in range(48):
        combinations.add(metadata_row(example(n)))
    measures = combinations.table()
    assert [m.columns for m in measures] == [("site",), ("hour",), ("site", "hour")]
    assert measures[-1].n_combinations == 8 and measures[0].k_people == 7
    assert metadata_row(example(23)).metadata[COLUMNS.index("hour")] == "18-24"


def test_no_rows() -> None:
    assert anonymity([], NAMES, NAMES).k_people == 0
