"""Balancing weighs rare answers up and leaves the sum of the weights and the natural composition of validation alone."""

from __future__ import annotations

import math
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs
from tests import tiny_tasks

from deputize.core.artifacts import Curated
from deputize.core.records import Contract, Example, Field, Outcome, PromptRecipe, Request, Task
from deputize.stages.finetune.examples import (
    MAX_BALANCE,
    TrainingExample,
    balanced,
    soft_labels,
    training_set_of,
)

LABEL = Contract(kind="label", labels=["yes", "no", "maybe"])


def mass(examples: list[TrainingExample]) -> Counter[str]:
    out: Counter[str] = Counter()
    for example in examples:
        out[str(example.answer)] += example.weight  # type: ignore[assignment]
    return out


answers = st.lists(
    st.tuples(st.sampled_from(LABEL.labels), st.floats(0.5, 4.0)), min_size=1, max_size=60
).map(lambda rows: [TrainingExample(str(i), "", answer, weight) for i, (answer, weight) in enumerate(rows)])


@given(answers, st.floats(0, 1))
def test_the_sum_stays_and_shares_move_towards_each_other(
    examples: list[TrainingExample], balance: float
) -> None:
    after = balanced(examples, LABEL, balance)
    assert sum(x.weight for x in after) == pytest.approx(sum(x.weight for x in examples))
    before_mass, after_mass = mass(examples), mass(after)
    assert max(after_mass.values()) <= max(before_mass.values()) * (1 + 1e-9)
    ranked = sorted(before_mass, key=lambda a: before_mass[a])
    assert all(after_mass[a] <= after_mass[b] * (1 + 1e-9) for a, b in pairwise(ranked))


def test_full_balance_makes_all_answers_equal_and_none_leaves_them() -> None:
    examples = [TrainingExample(str(i), "", "yes" if i % 10 else "no", 1.0) for i in range(100)]
    assert balanced(examples, LABEL, 0.0) is examples
    assert mass(balanced(examples, LABEL, 1.0)) == pytest.approx({"yes": 50.0, "no": 50.0})
    assert mass(balanced(examples, LABEL, 0.5)) == pytest.approx({"yes": 75.0, "no": 25.0})


def test_one_odd_example_does_not_outweigh_a_hundred() -> None:
    examples = [TrainingExample(str(i), "", "yes" if i else "no", 1.0) for i in range(10_000)]
    after = mass(balanced(examples, LABEL, 1.0))
    assert after["no"] < 2 * MAX_BALANCE * after["yes"] / 5000


def test_what_counts_as_an_answer_depends_on_the_contract() -> None:
    fields = [Field(name="intent", type="label"), Field(name="name", type="value")]
    json_ = Contract(kind="json", fields=fields)
    examples = [
        TrainingExample(str(i), "", {"intent": "book" if i else "cancel", "name": str(i)}, 1.0)
        for i in range(4)
    ]
    assert [x.weight for x in balanced(examples, json_, 1.0)] == pytest.approx([2.0, 2 / 3, 2 / 3, 2 / 3])
    text = [TrainingExample(str(i), "", str(i), 1.0) for i in range(4)]
    assert balanced(text, Contract(kind="text"), 1.0) == text
    calls = [
        TrainingExample(str(i), "", [{"name": "a" if i else "b", "arguments": {"n": i}}], 1.0)
        for i in range(3)
    ]
    assert [x.weight for x in balanced(calls, Contract(kind="tool_call"), 1.0)] == pytest.approx(
        [1.5, 0.75, 0.75]
    )


def test_validation_keeps_its_natural_composition() -> None:
    examples = [
        Example(
            call_id=str(i),
            request=Request(messages=[]),
            response={"content": "yes" if i % 10 else "no"},
            audience="code",
            site="",
            episode="",
            group="",
            split="train" if i < 50 else "validation",
            weight=9.0,
        )
        for i in range(100)
    ]
    task = Task(id="t", name="", contract=LABEL, recipe=PromptRecipe(), keys=[])
    curated = Curated(examples=examples, sites=[], n_calls=0, n_episodes=0, n_code_calls=0)
    found = training_set_of(curated, {e.call_id: "t" for e in examples}, task, balance=1.0)
    assert mass(found.train) == pytest.approx({"yes": 75.0, "no": 75.0})  # duplicates count by their root
    assert {x.weight for x in found.validation} == {1.0}


def test_strangers_are_the_validation_calls_of_other_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deputize.stages.finetune.examples.MAX_OTHER_TASK_PROMPTS", 5)
    examples = [
        Example(
            call_id=f"c{i}",
            request=Request(messages=[{"role": "user", "content": f"letter {i}"}]),
            response={"role": "assistant", "content": "yes"},
            audience="code",
            site="s",
            episode=f"e{i}",
            group=f"e{i}",
            split="validation" if i % 2 else "train",
        )
        for i in range(40)
    ]
    assignment = {e.call_id: "mine" if i < 20 else "other" for i, e in enumerate(examples) if i < 36}
    task = Task(id="mine", name="t", contract=LABEL, recipe=PromptRecipe(), keys=[])
    curated = Curated(examples=examples, sites=[], n_calls=40, n_episodes=40, n_code_calls=40)
    found = training_set_of(curated, assignment, task)
    assert len(found.other_task_prompts) <= 5 and set(found.other_task_prompts) <= {
        f"letter {i}" for i in range(21, 36, 2)
    }
    assert (
        found.other_task_prompts
        and not training_set_of(curated, dict.fromkeys(assignment, "mine"), task).other_task_prompts
    )


def test_an_answer_that_failed_on_the_same_prompt_is_rejected() -> None:
    task = tiny_tasks.task("label")
    first = tiny_tasks.example("label", 0, "train")
    answer = first.response["content"]
    other = {"role": "assistant", "content": "no" if answer == "yes" else "yes"}

    def call(id: str, response: dict[str, str], success: bool | None) -> Example:
        outcome = None if success is None else Outcome(success=success)
        return structs.replace(first, call_id=id, response=response, outcome=outcome)

    good, bad = call("good", first.response, True), call("bad", other, False)
    unknown, agrees = call("unknown", first.response, None), call("agrees", first.response, False)
    elsewhere = structs.replace(tiny_tasks.example("label", 1, "train"), outcome=Outcome(success=True))
    curated, discovered = tiny_tasks.make(("label",), 10)

    def rejected(*examples: Example) -> dict[str, object]:
        given = structs.replace(curated, examples=list(examples))
        assignment = dict.fromkeys((e.call_id for e in examples), "label")
        train = training_set_of(given, assignment, task).train
        return {x.call_id: x.rejected for x in train}

    assert discovered.tasks
    found = rejected(good, structs.replace(bad, trainable=False), unknown, elsewhere)
    assert found == {"good": other["content"], "unknown": None, elsewhere.call_id: None}
    assert rejected(good, agrees)["good"] is None, "the same answer is not a worse one"
    assert rejected(good, call("bad", other, None))["good"] is None
    by_reward = structs.replace(bad, outcome=Outcome(reward=0.0))
    assert rejected(structs.replace(good, outcome=Outcome(reward=1.0)), by_reward)["good"] == other["content"]


def test_log_probabilities_of_tokens_become_probabilities_of_labels() -> None:
    contract = Contract(kind="label", labels=["refund", "refuse", "login"])
    half, rest = math.log(0.5), math.log(0.25)
    logged = [[("ref", half), (" log", rest), ("re", rest)], [("und", half), ("use", half)]]
    found = soft_labels(logged, "refund", contract)
    # login .25; refund and refuse .5 x .5 each; "re" begins two labels
    assert found == pytest.approx({"login": 1 / 3, "refund": 1 / 3, "refuse": 1 / 3})
    assert soft_labels([[("login", 0.0)], [("more", -9.0)]], "login", contract) == {"login": 1.0}
    assert soft_labels([], "refund", contract) is None
    assert soft_labels(logged, "another", contract) is None
    assert soft_labels(logged, "refund", Contract(kind="text")) is None
