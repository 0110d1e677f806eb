"""A task is answered by the cheapest that does as well: plain code, a cache, a specialist; else the LLM keeps it."""

from __future__ import annotations

from typing import Any

import msgspec

from deputize.core.records import Certificate, Contract, Example, PromptRecipe, Request, Split, Task
from deputize.core.report_tasks import TaskVerdict
from deputize.core.task_results import EvaluationFacts, HeldOut, TaskResult, TestScore
from deputize.stages.evaluate.repeated_requests import RepeatCounter
from deputize.stages.evaluate.task_verdict import verdict_on

TASK = Task(
    id="t1",
    name="check",
    contract=Contract(kind="label", labels=["yes", "no"]),
    recipe=PromptRecipe(),
    keys=["k"],
)
SPLITS: tuple[Split, ...] = ("train", "train", "calibration", "test")
CERTIFIED = TaskResult(
    task_id="t1",
    certificate=Certificate(
        id="c",
        kind="not_worse_than_llm",
        epsilon=0.05,
        delta=0.05,
        n_calibration=80,
        threshold=0.5,
        share_served=0.9,
        p_value=0.01,
        claim="",
    ),
    test=TestScore(n_calls=40, n_episodes=40, tuned_accuracy=0.97),
    held_out=HeldOut(n_calls=40, share_served=0.9, loss_difference=0.0, loss_difference_interval=(0.0, 0.1)),
)
REFUSED = TaskResult(task_id="t1", refusal_reason="too few episodes")


def calls(n: int, text: str, replies: str) -> list[Example]:
    words = {"y": "yes", "n": "no"}
    return [
        Example(
            call_id=f"c{i}",
            request=Request(
                messages=[{"role": "user", "content": text.format(i=chr(97 + i % 26) * (1 + i // 26))}]
            ),
            response={"role": "assistant", "content": words[replies[i % len(replies)]]},
            audience="code",
            site="s",
            episode=f"e{i}",
            group=f"g{i}",
            split=SPLITS[i % 4],
        )
        for i in range(n)
    ]


def verdict(examples: list[Example], result: TaskResult, **more: Any) -> TaskVerdict:
    repeats = RepeatCounter(TASK.contract)
    for example in examples:
        repeats.add(example)
    return verdict_on(TASK, examples, result, found=repeats.found, epsilon=0.05, least_subjects=1, **more)


def test_a_constant_is_plain_code_even_where_a_specialist_is_certified() -> None:
    found = verdict(calls(120, "case {i}", "y"), CERTIFIED)
    assert found.kind == "code"
    assert found.reason == "the answer is always yes: so it was in 30 of 30 unseen calls"
    assert (found.n_rule_calls, found.n_rule_right) == (30, 30)
    assert verdict(calls(60, "case {i}", "y"), CERTIFIED).kind == "specialist", (
        "15 unseen calls say too little"
    )


def test_calls_that_repeat_with_the_same_answer_are_a_cache() -> None:
    # four questions, the answers of which no rule tells
    found = verdict(calls(40, "{i}", "yynyn") + calls(40, "{i}", "yynyn"), REFUSED)
    assert found.kind == "cache" and found.n_exact_repeats >= 40
    assert found.reason.startswith("40 of 80 calls repeat an earlier one letter for letter, and 40 of these")


def test_what_neither_tells_is_the_specialists_or_the_llms() -> None:
    examples = calls(120, "letter {i}", "ynnyyn")
    assert verdict(examples, CERTIFIED).reason == "certified; it answers 90 % of unseen calls itself"
    untried = msgspec.structs.replace(CERTIFIED, held_out=None)
    assert verdict(examples, untried).reason == "certified; no unseen call was left to try it on"
    left = verdict(examples, REFUSED)
    assert (left.kind, left.reason, left.rule) == ("llm", "too few episodes", "")
    assert verdict([], REFUSED).kind == "llm"
    facts = EvaluationFacts(leaks="lora leaks: 1 of 3")
    leaky = TaskResult(task_id="t1", refusal_reason=facts.leaks, evaluation=facts)
    assert verdict(examples, leaky).reason.startswith(
        "what was trained for it gives planted secrets away (lora"
    )
