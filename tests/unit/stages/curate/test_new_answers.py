"""Votes of LLMs that are asked again about a call of train, and what becomes of the call."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deputize.core.contracts import text_of
from deputize.core.errors import Tampered
from deputize.core.records import Contract, Example, Message, Request, Split
from deputize.stages.curate.new_answers import (
    DIVIDED,
    NewAnswer,
    forget_new_answers,
    read_new_answers,
    vote,
    with_new_answer,
    write_new_answers,
)
from deputize.store.keys.keyring import KeyRing

COLOURS = Contract(kind="label", labels=["red", "green", "blue"])


def said(text: str) -> Message:
    return {"role": "assistant", "content": text}


def example(logged: str = "red", split: Split = "train", id: str = "c") -> Example:
    return Example(
        call_id=id,
        request=Request(messages=[{"role": "user", "content": "Which colour?"}]),
        response=said(logged),
        audience="code",
        site="s",
        episode="e",
        group="e",
        split=split,
        logprobs=[[("red", -0.1)]],
    )


def voted(logged: str, *answers: str, n_votes: int = 3, models: tuple[str, ...] = ("a", "b")) -> NewAnswer:
    rest: Iterator[str] = iter(answers)
    return vote(example(logged), COLOURS, models, lambda _e, _m: said(next(rest)), n_votes=n_votes)


def test_one_question_is_enough_where_the_logged_answer_is_confirmed() -> None:
    new = voted("red", "red")
    assert (new.outcome, new.models, new.message) == ("same", ["a"], None)


def test_two_that_agree_against_the_logged_answer_give_another_one() -> None:
    new = voted("red", "green", "green")
    assert (new.outcome, new.models) == ("other", ["a", "b"]) and text_of(new.message or {}) == "green"


def test_without_a_majority_the_call_is_divided() -> None:
    assert voted("red", "green", "blue").outcome == "divided"


def test_an_answer_that_breaks_the_schema_is_a_vote_for_none() -> None:
    assert voted("red", "I cannot say.", "red").outcome == "same"
    assert voted("red", "I cannot say.", "green").outcome == "divided"
    assert voted("I cannot say.", "green", "green").outcome == "other"


def test_an_answer_that_is_not_whole_is_a_vote_for_none() -> None:
    prose = Contract(kind="text")
    new = vote(example("red"), prose, ("a",), lambda _e, _m: {})
    assert (new.outcome, len(new.models)) == ("divided", 2)


def test_no_question_is_put_that_cannot_change_the_outcome() -> None:
    # five votes, three needed: after four different ones no answer can have three
    assert len(voted("red", "green", "blue", "nothing", n_votes=5).models) == 3


@given(logged=st.sampled_from(COLOURS.labels), answers=st.lists(st.sampled_from(COLOURS.labels), min_size=6))
def test_stopping_early_finds_what_all_votes_would(logged: str, answers: list[str]) -> None:
    votes = [logged, *answers[:6]]
    most = max(set(votes), key=votes.count)
    has_majority = votes.count(most) > 3
    new = voted(logged, *answers, n_votes=7)
    assert new.outcome == ("divided" if not has_majority else "same" if most == logged else "other")
    if new.outcome == "other":
        assert text_of(new.message or {}) == most


def test_training_learns_the_answer_of_the_majority_and_says_whose_it_is() -> None:
    new = voted("red", "green", "green")
    changed = with_new_answer(example(), {"c": new})
    assert (text_of(changed.response), changed.answered_by, changed.logprobs) == ("green", "a, b", [])
    kept = with_new_answer(example(), {"c": voted("red", "red")})
    assert kept == example()
    dropped = with_new_answer(example(), {"c": voted("red", "green", "blue")})
    assert not dropped.trainable and dropped.drop_reason == DIVIDED


@pytest.mark.parametrize("split", ["validation", "calibration", "test"])
def test_calls_that_certificates_rest_on_keep_the_logged_answer(split: Split) -> None:
    before = example(split=split)
    assert with_new_answer(before, {"c": voted("red", "green", "green")}) == before


def test_an_outcome_is_about_the_request_and_the_answer_of_then() -> None:
    known = {"c": voted("red", "green", "green")}
    corrected = example("blue")
    assert with_new_answer(corrected, known) == corrected
    other_request = msgspec.structs.replace(
        example(), request=Request(messages=[{"role": "user", "content": "?"}])
    )
    assert with_new_answer(other_request, known) == other_request


def test_the_file_is_sealed_and_forgets_calls_that_are_gone(tmp_path: Path) -> None:
    keyring = KeyRing.open(tmp_path)
    assert read_new_answers(tmp_path, keyring) == {}
    written = {id: msgspec.structs.replace(voted("red", "green", "green"), call_id=id) for id in ("c", "d")}
    write_new_answers(tmp_path, keyring, written)
    assert read_new_answers(tmp_path, keyring) == written
    path = tmp_path / "new-answers.sealed"
    assert b'"content"' not in path.read_bytes()
    forget_new_answers(tmp_path, keyring, lambda ids: {"c"} & set(ids))
    assert set(read_new_answers(tmp_path, keyring)) == {"d"}
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(Tampered):
        read_new_answers(tmp_path, keyring)
