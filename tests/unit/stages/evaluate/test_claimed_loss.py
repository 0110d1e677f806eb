"""The loss of each kind of claim: by the LLM's answers, less its own with itself, or by right answers."""

from __future__ import annotations

import msgspec
import numpy as np
from tests.unit.stages.evaluate.conftest import Recorded
from tests.unit.stages.evaluate.test_evaluation import LABEL, TOOLS, fact, reply

from deputize.core.contracts import DEFER
from deputize.core.records import Contract, Message, Prediction, PromptRecipe, Task
from deputize.core.text_measures import TextMeasure
from deputize.stages.evaluate.claimed_loss import Reference, excess_loss, kind_of, label_evidence, losses_of
from deputize.stages.evaluate.evaluation import Evaluation, compare, label_difference
from deputize.stages.evaluate.population import Population, PopulationCall, RecordedCall
from deputize.stages.evaluate.task_calls import TaskCalls


def units(
    n: int, *, n_wrong: int = 0, labels: list[float] | None = None, repeat: float = np.nan
) -> Evaluation:
    names, ones = [str(i) for i in range(n)], np.ones(n)
    right = np.arange(n) >= n_wrong
    known = np.full(n, np.nan)
    known[: len(labels or [])] = labels or []
    return Evaluation(
        names,
        names,
        ones,
        right,
        right,
        ones.astype(bool),
        ones,
        ones * repeat,
        1.0,
        label_difference_N=known,
    )


def test_numbers_of_calls_decide_the_kind() -> None:
    assert kind_of(units(100, labels=[0.0] * 20), by_labels=True) == "not_worse_on_labels"
    assert kind_of(units(100, labels=[0.0] * 20), by_labels=False) == "not_worse_than_llm"
    assert kind_of(units(100, labels=[0.0] * 19), by_labels=True) == "not_worse_than_llm"
    assert kind_of(units(100, repeat=0.0), by_labels=True) == "not_worse_than_repeats"


def test_losses_are_those_of_the_claim_and_what_was_not_read_is_lost() -> None:
    some = units(4, n_wrong=3, labels=[-1.0, 0.0])
    everything = np.ones(6, dtype=bool)
    losses = losses_of(some, "not_worse_on_labels", 2)
    assert losses is not None and losses(everything).tolist() == [-1.0, 0.0, 1.0, 0.0, 1.0, 1.0]
    assert losses(np.array([True, False, True, False, False, True])).tolist() == [-1.0, 1.0, 1.0]
    drawn = losses_of(some, "not_worse_on_labels", 0, at_random=True)
    assert drawn is not None and drawn(np.ones(4, bool)).tolist() == [1 - 2 / 0.5, 1 - 1 / (1 / 3), 1.0, 0.0]
    assert losses_of(some, "not_worse_than_llm", 0) is None
    repeated = losses_of(units(2, n_wrong=1, repeat=0.5), "not_worse_than_repeats", 1)
    assert repeated is not None and repeated(np.ones(3, bool)).tolist() == [0.5, -0.5, 1.0]
    assert excess_loss(some, "not_worse_on_labels").tolist() == [-1.0, 0.0, 1.0, 0.0]
    assert excess_loss(some, "not_worse_than_llm").tolist() == [1.0, 1.0, 1.0, 0.0]


def test_the_evidence_counts_served_labels_and_bounds_how_often_answers_differ() -> None:
    found = label_evidence(units(100, n_wrong=10, labels=[-1.0, 1.0, 1.0, 0.0]), 0.5, at_random=True)
    assert (found.n_labelled, found.n_served, found.n_specialist_better, found.n_llm_better) == (4, 4, 1, 2)
    assert 0.1 < found.differs_limit < 0.17 and found.at_random
    assert label_evidence(units(10, labels=[1.0]), 2.0, at_random=False).differs_limit == 1.0


def difference(answer: object, told: str, label: object, contract: Contract = LABEL) -> float:
    message: Message | None = {"role": "assistant", "content": label} if isinstance(label, str) else None
    call = msgspec.structs.replace(fact(), label=message)
    from deputize.core.contracts import answer_of

    return label_difference(answer, answer_of(reply(told).response, contract), call, contract)


def test_an_answer_is_compared_with_the_right_one_where_it_is_known() -> None:
    assert difference("a", "b", "a") == -1.0 and difference("a", "b", "b") == 1.0
    assert difference("a", "a", "b") == 0.0, "both are wrong"
    assert np.isnan(difference("a", "b", None))
    assert np.isnan(difference("a", "b", "odd")), (
        "a label in a form that the contract cannot read says nothing"
    )
    wrong = msgspec.structs.replace(fact(), is_llm_wrong=True)
    assert label_difference("a", "b", wrong, LABEL) == 0.0, "no worse than an LLM that was wrong"
    measured = Contract(kind="text", measure=TextMeasure(name="words", level=0.5))
    assert np.isnan(difference("a b", "a c", "a b", measured)), "closeness is not passed on"


def test_no_tool_fits_is_a_right_answer() -> None:
    call = [{"name": "f", "arguments": {}}]
    silent = msgspec.structs.replace(fact(), label={"role": "assistant", "content": "Nothing fits."})
    assert label_difference(call, DEFER, silent, TOOLS) == 1.0
    other = [{"name": "g", "arguments": {}}]
    assert np.isnan(label_difference(call, other, silent, TOOLS)), "may be the name of the right tool alone"
    assert label_difference(DEFER, call, silent, TOOLS) == -1.0


def answered(labels: list[str | None], *, llm_failed: bool = False, lost: bool = False) -> Evaluation:
    """Calls that the specialist answers by "a" and the LLM by "b"."""
    calls = [
        msgspec.structs.replace(
            fact(),
            label={"role": "assistant", "content": label} if label is not None else None,
            is_llm_wrong=llm_failed,
        )
        for label in labels
    ]
    recorded = [None if lost else RecordedCall(reply("b"), []) for _ in calls]
    return compare([Prediction(answer="a", confidence=0.9) for _ in calls], calls, recorded, LABEL)


def test_a_failed_run_is_no_label_that_was_drawn() -> None:
    """The LLM was wrong just there: were they draws, they would say that it was wrong on the other calls too."""
    failed = answered([None] * 30, llm_failed=True)
    assert kind_of(failed, by_labels=True) == "not_worse_on_labels"
    assert kind_of(failed, by_labels=True, at_random=True) == "not_worse_than_llm"
    assert excess_loss(failed, "not_worse_on_labels").tolist() == [0.0] * 30
    assert excess_loss(failed, "not_worse_on_labels", at_random=True).tolist() == [1.0] * 30
    assert label_evidence(failed, 0.5, at_random=True).n_labelled == 0


def test_a_label_that_cannot_be_read_and_a_call_that_left_count_as_served_and_wrong() -> None:
    everything = np.ones(30, dtype=bool)
    for units in (answered(["odd"] * 30), answered(["a"] * 30, lost=True)):
        for at_random in (False, True):
            losses = losses_of(units, "not_worse_on_labels", 0, at_random=at_random)
            assert losses is not None and losses(everything).tolist() == [1.0] * 30
            assert kind_of(units, by_labels=True, at_random=at_random) == "not_worse_than_llm"


def calls_with_labels(has_label: np.ndarray, episodes: list[str]) -> TaskCalls:
    task = Task(
        id="t",
        name="t",
        contract=LABEL,
        recipe=PromptRecipe(),
        keys=["s/1"],
        site="s",
        n_calls=1,
        n_episodes=1,
        n_origins=9,
        template="",
    )
    calls = [
        PopulationCall(
            call_id=str(at),
            episode=episode,
            group=episode,
            audience="code",
            split="calibration",
            is_asked=True,
            llm_usd=0.0,
            is_commonest=False,
            label={"role": "assistant", "content": "refund"} if has_label[at] else None,
        )
        for at, episode in enumerate(episodes)
    ]
    return TaskCalls(task, Population({"t": calls}, Recorded([])), 0)


def test_labels_that_show_how_they_were_chosen_are_not_taken_for_a_draw() -> None:
    declared, rng = Reference(by_labels=True, at_random=True), np.random.default_rng(0)
    sizes = rng.choice([1, 5], 120)
    episodes = [f"e{e}" for e, size in enumerate(sizes) for _ in range(size)]
    first = np.array([at == 0 or episodes[at] != episodes[at - 1] for at in range(len(episodes))])
    drawn = calls_with_labels(rng.random(len(episodes)) < 0.4, episodes)
    assert declared.checked(drawn, units(100)) == declared
    refused = declared.checked(calls_with_labels(first, episodes), units(100))
    assert not refused.at_random and "depends on the length of their episode" in refused.not_random
    corrected = units(100, n_wrong=50, labels=[1.0] * 30)
    refused = declared.checked(drawn, corrected)
    assert "depends on whether the two answers differ" in refused.not_random
    assert Reference(by_labels=True).checked(drawn, corrected) == Reference(by_labels=True)
    evidence = label_evidence(corrected, 0.5, at_random=False, not_random=refused.not_random)
    assert evidence.not_random == refused.not_random
