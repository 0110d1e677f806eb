"""A cache keeps a prompt with its answer only where several data subjects had both, and says how alike and how agreed
they are."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deputize.core.artifacts import Specialist
from deputize.core.errors import BadInput
from deputize.core.records import Contract, PromptRecipe, Task
from deputize.core.subjects import Subjects
from deputize.specialists.answer_cache import (
    FILE,
    MOST_ALIKE,
    CachePredictor,
    KnownAnswer,
    known_answers,
    load_cache,
)
from deputize.specialists.answer_schema import AnswerSchema
from deputize.specialists.registry import StoredSpecialist
from deputize.specialists.specialist_card import PredictorSettings

CONTRACT = Contract(kind="text")
TASK = Task(id="t", name="the task", contract=CONTRACT, recipe=PromptRecipe(), keys=["k"])
OPENING = "When do you open on Sundays, and is there parking?"


def test_a_pair_of_one_person_is_not_kept_whoever_else_asked_the_same() -> None:
    """Else the answer to one person would be said to whoever asks what that person asked."""
    texts = [OPENING] * 4 + ["What is my code?"] * 3
    answers = ["at ten", "at ten", "at ten", "for you at nine", "4711", "4711", "8135"]
    known = known_answers(texts, answers, Subjects(["a", "b", "c", "d", "x", "x", "y"], 2))
    assert known == [KnownAnswer(text=OPENING, answer="at ten", n_calls=4, n_alike=3)]


def test_fewer_than_two_subjects_are_never_enough() -> None:
    assert known_answers([OPENING] * 5, ["at ten"] * 5, Subjects(["a"] * 5, 1)) == []
    assert len(known_answers([OPENING] * 5, ["at ten"] * 5, Subjects(list("aabcc"), 3))) == 1
    assert known_answers([OPENING] * 5, ["at ten"] * 5, Subjects(list("aabbb"), 3)) == []


calls = st.lists(
    st.tuples(st.sampled_from("pqr"), st.sampled_from(["yes", "no"]), st.sampled_from("abcd")), max_size=30
)


@given(calls, st.integers(1, 4))
def test_whatever_is_kept_enough_subjects_had(found: list[tuple[str, str, str]], least: int) -> None:
    known = known_answers(
        [text for text, _, _ in found],
        [answer for _, answer, _ in found],
        Subjects([who for _, _, who in found], least),
    )
    for one in known:
        who = {s for text, answer, s in found if (text, answer) == (one.text, one.answer)}
        assert len(who) >= max(2, least)
        assert one.n_calls == sum(text == one.text for text, _, _ in found)


def predictor() -> CachePredictor:
    return CachePredictor(
        [
            KnownAnswer(text=OPENING, answer="at ten", n_calls=20, n_alike=20),
            KnownAnswer(text="Is order 12 late?", answer={"late": True, "by": 2}, n_calls=10, n_alike=6),
        ]
    )


def test_the_same_prompt_gets_its_answer_and_agreement_orders_it() -> None:
    sure, unsure = predictor().predict([f"  {OPENING}\n", "Is order 12 late?"])
    assert (sure.answer, unsure.answer) == ("at ten", {"late": True, "by": 2})
    assert sure.raw_confidence.log_p > unsure.raw_confidence.log_p
    assert unsure.answer is not None and list(unsure.answer) == ["late", "by"]


def test_a_prompt_that_is_nearly_the_same_is_less_sure_and_a_strange_one_gets_no_answer() -> None:
    same, near, case, strange = predictor().predict(
        [OPENING, "When do you open on Sundays and is there parking", OPENING.upper(), "My parcel is wet."]
    )
    assert near.answer == case.answer == "at ten" and strange.answer is None
    assert same.raw_confidence.log_p > case.raw_confidence.log_p >= near.raw_confidence.log_p
    # capitals may mean something: only the same letters are the same
    assert case.raw_confidence.min_margin == MOST_ALIKE
    assert predictor().predict([]) == []


def test_it_is_loaded_as_it_was_saved_and_a_broken_file_is_named(tmp_path: Path) -> None:
    predictor().save(tmp_path)
    card = Specialist(
        id="t-cache",
        task_id="t",
        method="cache",
        model="",
        kind="cache",
        contract=CONTRACT,
        task=TASK,
        n_train=0,
        train_s=0.0,
    )
    settings = PredictorSettings(schema=AnswerSchema(kind="text"))
    stored = StoredSpecialist(tmp_path, card, settings, tmp_path)
    asked = [OPENING, "Is order 13 late?", "nothing of it"]
    assert load_cache(stored).predict(asked) == predictor().predict(asked)
    (tmp_path / FILE).write_bytes(b"[{")
    with pytest.raises(BadInput, match=FILE):
        load_cache(stored)
