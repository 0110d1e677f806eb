"""Answers compared with the LLM's, and what of them may be served."""

from __future__ import annotations

import numpy as np
import pytest

from deputize.core.contracts import DEFER
from deputize.core.records import Contract, Example, Prediction, Request
from deputize.scoring.certificates import NEVER
from deputize.scoring.costs import load_prices
from deputize.stages.evaluate.evaluation import compare

TOOLS = Contract(kind="tool_call", tools=["f", "g"], may_defer=True)
LABEL = Contract(kind="label", labels=["a", "b"])


def example(content: str, *, audience: str = "code", repeated: tuple[str, ...] = ()) -> Example:
    return Example(
        call_id=content,
        request=Request(messages=[{"role": "user", "content": "x"}]),
        response={"role": "assistant", "content": content},
        audience=audience,  # type: ignore[arg-type]
        site="s",
        episode="e",
        group="g",
        split="test",
        model="gpt-4o",
        repeated_responses=[{"role": "assistant", "content": one} for one in repeated],
    )


def test_the_first_examples_are_compared_in_their_order() -> None:
    predictions = [Prediction(answer="a", confidence=0.9), Prediction(answer="a", confidence=0.2)]
    found = compare(
        predictions, [example("a"), example("b", audience="human"), example("a")], LABEL, load_prices(), 3.0
    )
    assert len(found) == 2 and found.right_N.tolist() == [True, False] and found.loss_N.tolist() == [0.0, 1.0]
    assert found.counts_N.tolist() == [True, False] and found.accuracy == 0.5
    assert found.seconds_per_call == 1.5 and (found.llm_usd_N > 0).all()
    assert found.share_served(0.5) == 1.0, "of the calls meant for code"
    assert found.servable(0.0) == 1.0


def test_deferring_and_silence_are_never_served() -> None:
    call = [{"name": "f", "arguments": {}}]
    predictions = [
        Prediction(answer=DEFER, confidence=0.9),
        Prediction(answer=None, confidence=0.9),
        Prediction(answer=call, confidence=0.9),
    ]
    found = compare(predictions, [example("Hello.")] * 3, TOOLS, load_prices(), 0.0)
    assert found.confidence_N.tolist() == [NEVER, NEVER, 0.9]
    assert found.right_N.tolist() == [True, False, False]


def test_the_llms_own_disagreement_is_a_share_of_its_other_answers() -> None:
    answers = [Prediction(answer="a", confidence=0.9)] * 2
    found = compare(answers, [example("a", repeated=("a", "b")), example("a")], LABEL, load_prices(), 0.0)
    assert found.repeat_loss_N[0] == pytest.approx(0.5) and np.isnan(found.repeat_loss_N[1])


def test_a_part_keeps_everything_of_its_calls() -> None:
    answers = [Prediction(answer=x, confidence=0.1 * i) for i, x in enumerate("abab")]
    whole = compare(answers, [example("a")] * 4, LABEL, load_prices(), 8.0)
    part = whole.take(np.array([3, 0]))
    assert part.right_N.tolist() == [False, True] and part.confidence_N[0] == pytest.approx(0.3)
    assert len(part) == 2 and part.seconds_per_call == whole.seconds_per_call == 2.0
    nothing = whole.take(np.array([], dtype=np.int64))
    assert len(nothing) == 0 and nothing.accuracy is None and nothing.seconds_per_call == 0.0
