"""Answers compared with the LLM's, and what of them may be served."""

from __future__ import annotations

import numpy as np
import pytest

from deputize.core.contracts import DEFER
from deputize.core.records import Call, Contract, Prediction
from deputize.scoring.certificates import NEVER
from deputize.stages.evaluate.evaluation import Evaluation, compare, joined
from deputize.stages.evaluate.population import PopulationCall, RecordedCall

TOOLS = Contract(kind="tool_call", tools=["f", "g"], may_defer=True)
LABEL = Contract(kind="label", labels=["a", "b"])


def reply(content: str, id: str = "c") -> Call:
    return Call(
        id=id,
        messages=[{"role": "user", "content": "x"}],
        response={"role": "assistant", "content": content},
    )


def fact(*, audience: str = "code", is_commonest: bool = False) -> PopulationCall:
    return PopulationCall(
        call_id="c",
        episode="e",
        group="g",
        audience=audience,  # type: ignore[arg-type]
        split="test",
        is_asked=True,
        llm_usd=0.5,
        is_commonest=is_commonest,
    )


def compared(
    predictions: list[Prediction | None],
    told: list[str],
    contract: Contract = LABEL,
    *,
    repeated: tuple[str, ...] = (),
    seconds: float = 0.0,
) -> Evaluation:
    recorded = [RecordedCall(reply(text), [reply(one) for one in repeated]) for text in told]
    return compare(predictions, [fact() for _ in told], recorded, contract, seconds)


def test_predictions_are_compared_with_the_replies_in_their_order() -> None:
    predictions = [Prediction(answer="a", confidence=0.9), Prediction(answer="a", confidence=0.2)]
    facts = [fact(is_commonest=True), fact(audience="human")]
    found = compare(
        predictions, facts, [RecordedCall(reply("a"), []), RecordedCall(reply("b"), [])], LABEL, 3.0, repr
    )
    assert len(found) == 2 and found.right_N.tolist() == [True, False] and found.loss_N.tolist() == [0.0, 1.0]
    assert found.counts_N.tolist() == [True, False] and found.accuracy == 0.5
    assert found.seconds_per_call == 1.5 and (found.llm_usd_N == 0.5).all()
    assert found.share_served(0.5) == 1.0, "of the calls meant for code"
    assert found.coverage_at(0.0) == 1.0
    assert found.commonest_N.tolist() == [True, False] and found.answers == ["'a'", "'a'"]


def test_what_the_gateway_would_not_ask_is_never_served_and_what_is_gone_counts_as_wrong() -> None:
    found = compare(
        [None, Prediction(answer="a", confidence=0.1)],
        [fact(), fact()],
        [RecordedCall(reply("a"), []), None],
        LABEL,
    )
    assert found.confidence_N.tolist() == [NEVER, np.inf] and found.right_N.tolist() == [False, False]


def test_deferring_and_silence_are_never_served() -> None:
    call = [{"name": "f", "arguments": {}}]
    predictions: list[Prediction | None] = [
        Prediction(answer=DEFER, confidence=0.9),
        Prediction(answer=None, confidence=0.9),
        Prediction(answer=call, confidence=0.9),
    ]
    found = compared(predictions, ["Hello."] * 3, TOOLS)
    assert found.confidence_N.tolist() == [NEVER, NEVER, 0.9]
    assert found.right_N.tolist() == [True, False, False]


def test_an_answer_that_would_not_read_back_is_never_served() -> None:
    found = compared([Prediction(answer="c", confidence=0.9)], ["c"])
    assert found.confidence_N.tolist() == [NEVER], "the gateway gives such a call to the LLM"


def test_the_llms_own_disagreement_is_a_share_of_its_other_answers() -> None:
    answer = Prediction(answer="a", confidence=0.9)
    found = compared([answer], ["a"], repeated=("a", "b"))
    assert found.repeat_loss_N[0] == pytest.approx(0.5)
    assert np.isnan(compared([answer], ["a"]).repeat_loss_N[0])


def test_a_part_keeps_everything_of_its_calls_and_parts_join_to_the_whole() -> None:
    answers: list[Prediction | None] = [
        Prediction(answer=x, confidence=0.1 * i) for i, x in enumerate("abab")
    ]
    whole = compared(answers, ["a"] * 4, seconds=8.0)
    part = whole.take(np.array([3, 0]))
    assert part.right_N.tolist() == [False, True] and part.confidence_N[0] == pytest.approx(0.3)
    assert len(part) == 2 and part.seconds_per_call == whole.seconds_per_call == 2.0
    nothing = whole.take(np.array([], dtype=np.int64))
    assert len(nothing) == 0 and nothing.accuracy is None and nothing.seconds_per_call == 0.0
    together = joined([whole.take(np.array([0, 1])), nothing, whole.take(np.array([2, 3]))])
    assert together.right_N.tolist() == whole.right_N.tolist() and together.seconds == whole.seconds
    assert together.call_ids == whole.call_ids and len(joined([])) == 0


def test_two_unreadable_answers_of_the_llm_are_no_disagreement_of_its_own() -> None:
    """As audits count them: the specialist alone differs."""
    served = Prediction(answer="a", confidence=0.9)
    found = compared([served], ["Sorry, what?"], repeated=("I cannot say.",))
    assert found.right_N.tolist() == [False] and found.repeat_loss_N.tolist() == [0.0]
    assert compared([served], ["Sorry, what?"], repeated=("a",)).repeat_loss_N.tolist() == [1.0]


def test_shares_served_at_many_thresholds_are_those_at_each() -> None:
    r = np.random.default_rng(1)
    n = 60
    some = Evaluation(
        groups=[f"g{i}" for i in range(n)],
        episodes=[f"e{i}" for i in range(n)],
        confidence_N=np.where(r.random(n) < 0.2, NEVER, r.integers(1, 9, n) / 9),
        right_N=np.ones(n, dtype=bool),
        right_action_N=np.ones(n, dtype=bool),
        counts_N=r.random(n) < 0.7,
        llm_usd_N=np.zeros(n),
        repeat_loss_N=np.full(n, np.nan),
        seconds=0.0,
    )
    grid = np.array([2.0, 1.0, 8 / 9, 0.5, 1 / 9, -1.0])
    assert some.shares_served(grid) == [some.share_served(t) for t in grid]
    assert some.take(np.zeros(0, dtype=np.int64)).shares_served(grid) == [0.0] * 6
