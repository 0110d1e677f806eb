"""A judge over real HTTP, scripted: what it says counts in both orders, within its budget, and its errors are measured.

The judge is simulated: it knows the number that an answer must hold. Server and client are real.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

import msgspec
import numpy as np
import pytest
from tests.unit.stages.evaluate.conftest import World, unit

from deputize.core.config import Convert, JudgeSettings
from deputize.core.contracts import needs_judge
from deputize.core.records import Call, Contract, Message, Prediction, Request
from deputize.core.task_results import TaskResult
from deputize.core.text_measures import TextMeasure
from deputize.pipeline.certify_on_engine import judge_client
from deputize.stages.evaluate.judge import MAX_FAILURES, Judge
from deputize.stages.evaluate.population import Population
from deputize.testing.scripted_llm import ScriptedUpstream, ScriptError, in_thread

JUDGED = Contract(kind="text", measure=TextMeasure(name="judge", level=1.0))


def number(text: str) -> str:
    return "".join(c for c in text if c.isdigit())


def honest(body: dict[str, Any]) -> Message:
    """Compares the numbers of the answers with that of the request."""
    asked = json.loads(body["messages"][1]["content"])
    right = number(asked["request"][-1]["content"])
    first, second = (number(asked[f"answer_{k}"]) == right for k in (1, 2))
    return {"role": "assistant", "content": "=" if first == second else "1" if first else "2"}


def biased(body: dict[str, Any]) -> Message:
    """Whatever comes first is better."""
    return {"role": "assistant", "content": "1"}


def silent(body: dict[str, Any]) -> Message:
    raise ScriptError(500, "out of order")


@contextmanager
def judging(script: Callable[[dict[str, Any]], Message], max_questions: int = 10_000) -> Iterator[Judge]:
    with in_thread(ScriptedUpstream(script)) as server:
        client = judge_client(JudgeSettings(base_url=server.url, model="judge-1"))
        assert client is not None
        with closing(client):
            yield Judge(client, client.model, max_questions)


def call(n: int, said: str | None = None) -> Call:
    return Call(
        id=f"c{n}",
        messages=[{"role": "user", "content": f"call {n}"}],
        response={"role": "assistant", "content": said if said is not None else f"It is {n}."},
    )


def test_an_answer_in_other_words_is_no_worse_and_another_number_is() -> None:
    with judging(honest) as judge:
        assert judge.no_worse(call(17), "The result: 17", "It is 17.", "calibration") is True
        assert judge.no_worse(call(17), "The result: 18", "It is 17.", "calibration") is False
        assert judge.n_questions == 3, "a first verdict against an answer settles it"
        assert (
            judge.no_worse(call(17), "The result: 17", "It is 17.", "test") is True and judge.n_questions == 3
        )
        assert (judge.n_pairs, judge.n_order_dependent, judge.n_unjudged) == (2, 0, 0)


def test_a_judge_that_prefers_a_place_acquits_nobody() -> None:
    with judging(biased) as judge:
        assert judge.no_worse(call(1), "1", "It is 1.", "calibration") is False
    with judging(lambda body: {"role": "assistant", "content": "2"}) as judge:
        assert judge.no_worse(call(1), "1", "It is 1.", "calibration") is False
        assert judge.n_order_dependent == 1


def test_a_budget_is_kept_and_a_judge_out_of_order_is_left_alone() -> None:
    with judging(honest, max_questions=10) as judge:
        verdicts = [judge.no_worse(call(n), f"{n}", f"It is {n}.", "validation") for n in range(1, 5)]
        assert verdicts == [True, None, None, None], "three tenths by the end of validation"
        assert [judge.no_worse(call(n), f"{n}", f"It is {n}.", "calibration") for n in range(5, 9)] == [
            True,
            True,
            True,
            None,
        ]
        assert judge.n_questions == 8 and judge.n_unjudged == 4
        assert judge.part(5).no_worse(call(1), "1", "It is 1.", "test") is True
    with judging(silent) as judge:
        assert {judge.no_worse(call(n), "x", "y", "test") for n in range(9)} == {None}
        assert judge.n_questions == MAX_FAILURES and judge.n_unjudged == 9


def test_the_errors_of_a_judge_are_measured_on_wrong_answers() -> None:
    calls = [call(n) for n in range(1, 11)]
    labelled = [(call(5, "It is 6."), "It is 5."), (call(7), "It is 7.")]
    with judging(honest) as judge:
        found = judge.evidence(calls, labelled)
    assert (found.n_controls, found.n_controls_passed) == (10, 0)
    assert (found.n_labelled, found.n_labelled_passed) == (1, 0), "one was right"
    with judging(lambda body: {"role": "assistant", "content": "="}) as lenient:
        found = lenient.evidence(calls, labelled)
    assert (found.n_controls_passed, found.n_labelled_passed) == (10, 1)


class InOtherWords:
    """A specialist that never says what the LLM says letter by letter, and is wrong at a known rate where it is unsure."""

    def predict(self, requests: Sequence[Request]) -> list[Prediction]:
        out = []
        for request in requests:
            asked = number(str(request.messages[-1]["content"]))
            d = unit("difficulty", asked)
            wrong = unit("wrong", asked) < 0.6 * d**3
            out.append(
                Prediction(
                    answer=f"The result: {asked}{'9' if wrong else ''}", confidence=1 - d, latency_ms=1.0
                )
            )
        return out


def judged_world(world: Callable[..., World]) -> World:
    """Texts with a number each, which the LLM gives in its own words."""
    w = world(methods={"linear": 0.6}, n_calls=2000)
    task = msgspec.structs.replace(w.discovered.tasks[0], contract=JUDGED)
    w.discovered = msgspec.structs.replace(w.discovered, tasks=[task])
    examples = [
        msgspec.structs.replace(e, response={"role": "assistant", "content": f"It is {number(e.call_id)}."})
        for e in w.curated.examples
    ]
    w.curated = msgspec.structs.replace(w.curated, examples=examples)
    specialists = [msgspec.structs.replace(s, contract=JUDGED) for s in w.finetuned.specialists]
    w.finetuned = msgspec.structs.replace(w.finetuned, specialists=specialists)
    w.load = lambda folder: InOtherWords()  # type: ignore[assignment, method-assign, return-value]
    return w


def certified(w: World, judge: Judge | None) -> TaskResult:
    (result,) = w.run(Convert(epsilon=0.05), judge=judge)
    return result


def test_a_judged_claim_is_a_tier_of_its_own_and_as_true_as_its_judge(world: Callable[..., World]) -> None:
    w = judged_world(world)
    assert needs_judge(w.discovered.tasks[0].contract)
    with judging(honest) as judge:
        result = certified(w, judge)
    made = result.certificate
    assert made is not None, result.refusal_reason
    assert made.kind == "not_worse_by_judge" and made.judge is not None and made.judge.model == "judge-1"
    assert "as a judge finds, worse than the LLM's answer in at most 5 %" in made.claim
    assert "Judged by judge-1, not compared" in made.claim and made.judge.n_controls_passed == 0
    texts = [e for e in w.curated.examples if unit("difficulty", number(e.call_id)) <= 1 - made.threshold]
    wrong = [
        unit("wrong", number(e.call_id)) < 0.6 * unit("difficulty", number(e.call_id)) ** 3 for e in texts
    ]
    assert sum(wrong) / len(w.curated.examples) <= 0.05, "the numbers are right in truth, not just by verdict"
    assert made.share_served > 0.5 and result.held_out is not None and result.held_out.loss_difference <= 0.05


def test_without_a_judge_or_without_questions_left_nothing_is_certified(world: Callable[..., World]) -> None:
    w = judged_world(world)
    refused = certified(w, None)
    assert refused.certificate is None and "no [judge] is set" in refused.refusal_reason
    with judging(honest, max_questions=60) as judge:
        assert certified(w, judge).certificate is None


def lenient(body: dict[str, Any]) -> Message:
    """Every answer is as good as any other."""
    return {"role": "assistant", "content": "="}


@pytest.mark.parametrize("script", [biased, silent, lenient])
def test_a_judge_that_is_of_no_use_certifies_nothing(
    world: Callable[..., World], script: Callable[[dict[str, Any]], Message]
) -> None:
    with judging(script) as judge:
        assert certified(judged_world(world), judge).certificate is None


def test_held_out_calls_beyond_the_budget_are_left_out(world: Callable[..., World]) -> None:
    w = judged_world(world)
    with judging(honest, max_questions=1700) as judge:
        result = certified(w, judge)
    assert result.certificate is not None, result.refusal_reason
    n_test = sum(e.split == "test" for e in w.curated.examples)
    assert result.test is not None and 0 < result.test.n_calls < n_test
    assert isinstance(w.population, Population) and np.isfinite(result.certificate.p_value)
