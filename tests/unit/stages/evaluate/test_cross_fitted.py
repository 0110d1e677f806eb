"""Evaluation of a small log: methods are compared by what was cross-fitted on train, and the reserve is calibrated on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from deputize.core.artifacts import CrossFitted, Finetuned, Specialist
from deputize.core.config import Convert
from deputize.core.contracts import agree, answer_of
from deputize.core.records import Contract, Example, PromptRecipe, Request, Task
from deputize.scoring import certificates as cert
from deputize.stages.evaluate.cross_fitted import evaluations_of

Make = Callable[..., Any]
TASK = Task(
    id="t1", name="sort", contract=Contract(kind="label", labels=["a"]), recipe=PromptRecipe(), keys=["k"]
)
SPECIALIST = Specialist(
    id="t1-linear",
    task_id="t1",
    method="linear",
    model="",
    kind="linear",
    contract=TASK.contract,
    task=TASK,
    n_train=9,
    train_s=1.0,
)


def example(id: str, audience: str = "code") -> Example:
    return Example(
        call_id=id,
        request=Request(messages=[]),
        response={},
        audience=audience,  # type: ignore[arg-type]
        site="s",
        episode=f"e{id}",
        group=f"g{id}",
        split="train",
    )


def test_answers_are_put_beside_the_groups_of_their_calls_and_erased_calls_are_left_out() -> None:
    answers = CrossFitted(
        call_ids=["a", "gone", "b"],
        confidence=[0.9, 0.8, 0.0],
        right=[True, False, True],
        right_action=[True, True, True],
        unlike=[False, False, True],
    )
    finetuned = Finetuned(
        specialists=[SPECIALIST], cross_fitted={SPECIALIST.id: answers}, unread_reserve=["t1"]
    )
    examples = [example("a"), example("b", "human"), example("other")]
    found = evaluations_of(finetuned, examples)[SPECIALIST.id]
    assert (found.groups, found.episodes, found.call_ids) == (["ga", "gb"], ["ea", "eb"], ["a", "b"])
    assert found.confidence_N.tolist() == [0.9, cert.NEVER] and found.right_N.tolist() == [True, True]
    assert found.counts_N.tolist() == [True, False] and found.unlike_N.tolist() == [False, True]
    read = Finetuned(specialists=[SPECIALIST], cross_fitted={SPECIALIST.id: answers})
    assert evaluations_of(read, examples) == {}, "the reserve is validation then"


def cross_fitted(world: Any) -> Any:
    """The world with its validation as calibration, and what its specialists say of train in the place of it."""
    w = world
    train = [e for e in w.curated.examples if e.split == "train"]
    answers = {}
    for specialist in w.finetuned.specialists:
        said = w.predictors[specialist.path].predict([e.request for e in train])
        right = [
            agree(p.answer, answer_of(e.response, specialist.contract), specialist.contract)
            for p, e in zip(said, train, strict=True)
        ]
        answers[specialist.id] = CrossFitted(
            call_ids=[e.call_id for e in train],
            confidence=[p.confidence for p in said],
            right=right,
            right_action=right,
            unlike=[False] * len(train),
        )
        w.predictors[specialist.path].asked.clear()
    w.finetuned = msgspec.structs.replace(w.finetuned, cross_fitted=answers, unread_reserve=["t1"])
    examples = [
        msgspec.structs.replace(e, split="calibration" if e.split == "validation" else e.split)
        for e in w.curated.examples
    ]
    w.curated = msgspec.structs.replace(w.curated, examples=examples)
    return w


def test_choices_are_made_on_train_and_calibration_has_what_would_be_validation(world: Make) -> None:
    w = cross_fitted(world(n_calls=1000))
    n_calibration = sum(e.split == "calibration" for e in w.curated.examples)
    (result,) = w.run(Convert(epsilon=0.05))
    facts = result.evaluation
    assert facts.is_cross_fitted and facts.chosen_because.endswith("by cross-fitting on train (85 %)")
    assert facts.n_calibration_groups == n_calibration > 380
    assert facts.n_validation == sum(e.split == "train" for e in w.curated.examples)
    assert result.certificate is not None and result.chosen == "t1-lora"
    by_split = {e.request.messages[-1]["content"]: e.split for e in w.curated.examples}
    asked = {path: [by_split[text] for text in sim.asked] for path, sim in w.predictors.items()}
    for path, splits in asked.items():
        assert "train" not in splits and splits[0] == "test", "the speed is measured on held-out requests"
        assert ("calibration" in splits) == path.endswith("lora"), "labels are seen for the chosen one alone"
    assert {row.method: row.n_validation for row in result.methods if row.trained} == {
        "linear": facts.n_validation,
        "lora": facts.n_validation,
    }
