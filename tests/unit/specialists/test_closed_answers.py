"""Answers as combinations of choices, and back."""

from __future__ import annotations

import pytest
from tests import tiny_tasks

from deputize.core.contracts import DEFER
from deputize.core.records import Answer, Contract
from deputize.specialists.closed_answers import ClosedAnswers, closed
from deputize.specialists.learn_schema import learn_schema


def of(contract: Contract, given: list[Answer], *, partly: bool = False) -> ClosedAnswers | None:
    return closed(learn_schema(contract, given), partly=partly)


@pytest.mark.parametrize("may_defer", [False, True])
def test_every_answer_comes_back_from_its_choices(may_defer: bool) -> None:
    given: list[Answer] = ["yes", "no", *([DEFER] if may_defer else [])]
    found = of(Contract(kind="label", labels=["yes", "no"], may_defer=may_defer), given)
    assert found is not None and len(found.questions) == 1 + may_defer
    for answer in given:
        indices = found.indices(answer)
        assert indices is not None
        assert found.answer([max(i, 0) for i in indices]) == answer
        assert sum(found.asked([max(i, 0) for i in indices])) == sum(i >= 0 for i in indices)
    assert found.indices("maybe") is None


def test_answers_with_values_to_write_are_not_closed_but_their_actions_partly_are() -> None:
    calls: list[Answer] = [
        *([{"name": "refund", "arguments": {"order": f"LH-{i}"}}] for i in range(10)),
        *([{"name": "list_orders", "arguments": {}}] for _ in range(10)),
    ]
    contract = tiny_tasks.CONTRACTS["action"]
    assert of(contract, calls) is None
    found = of(contract, calls, partly=True)
    assert found is not None and found.open_actions == ["refund"]
    refund, listed = found.indices(calls[0]), found.indices(calls[-1])
    assert refund is not None and found.answer(refund) is None
    assert listed is not None and found.answer(listed) == calls[-1]
    assert of(tiny_tasks.CONTRACTS["line"], ["a b"]) is None
