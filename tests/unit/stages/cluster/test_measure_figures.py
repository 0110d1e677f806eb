"""Figures from which a person chooses the level of a measure."""

from __future__ import annotations

from deputize.core.records import Contract, Example, Field, Request, Split
from deputize.stages.cluster.measure_figures import measure_figures

TEXT = Contract(kind="text")


def example(id: str, asked: str, reply: str, split: Split = "train") -> Example:
    return Example(
        call_id=id,
        request=Request(messages=[{"role": "user", "content": asked}]),
        response={"role": "assistant", "content": reply},
        audience="code",
        site="s",
        episode=id,
        group=id,
        split=split,
    )


def test_replies_to_equal_and_to_different_requests() -> None:
    rows = [
        example("a", "one", "send two parcels"),
        example("b", "one", "send two boxes"),
        example("c", "two", "close the account"),
        example("d", "one", "never looked at", "calibration"),
    ]
    found = measure_figures(rows, TEXT, "words")
    assert (found.n_equal_requests, found.n_different_requests) == (1, 1)
    assert found.equal_requests == (2 / 3, 2 / 3) and found.different_requests == (0, 0)
    nothing = measure_figures(rows[2:], TEXT, "words")
    assert nothing.equal_requests is None and nothing.different_requests is None


def test_a_field_of_json_replies() -> None:
    contract = Contract(kind="json", fields=[Field(name="why", type="value"), Field(name="n", type="value")])
    rows = [
        example("a", "x", '{"why": "it is late", "n": 1}'),
        example("b", "x", '{"why": "it is late now", "n": 1}'),
    ]
    found = measure_figures(rows, contract, "words", "why")
    assert found.equal_requests == (6 / 7, 6 / 7)
    assert measure_figures(rows, contract, "words", "n").n_equal_requests == 0, "numbers are no texts"
