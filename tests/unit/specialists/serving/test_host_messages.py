"""Sealed questions and answers between gateways and hosts."""

from __future__ import annotations

import pytest

from deputize.core.errors import BadInput, NotAuthenticated, Tampered
from deputize.core.records import Prediction, Request
from deputize.specialists.serving.host_messages import (
    MAX_AGE_S,
    HostAnswer,
    HostQuestion,
    open_answer,
    open_question,
    seal_answer,
    seal_question,
)

SECRET, OTHER = b"s" * 32, b"o" * 32
QUESTION = HostQuestion(
    sent_at=100.0, specialist="a", request=Request(messages=[{"role": "user", "content": "Ann"}])
)


def test_a_question_and_its_answer_come_as_they_were_sent() -> None:
    body, opens = seal_question(SECRET, QUESTION)
    assert b"Ann" not in body
    asked, sealer = open_question(SECRET, body, now_s=101.0)
    assert asked == QUESTION
    answer = HostAnswer(prediction=Prediction(answer="x", confidence=0.1 + 0.2), card_sha256="c")
    assert open_answer(opens, seal_answer(sealer, answer)) == answer


@pytest.mark.parametrize("body", [b"", b"short", b"x" * 200])
def test_what_is_not_sealed_is_refused(body: bytes) -> None:
    with pytest.raises(NotAuthenticated, match="sealed with the keys"):
        open_question(SECRET, body, now_s=100.0)


def test_a_question_under_other_keys_or_changed_is_refused() -> None:
    body, _ = seal_question(OTHER, QUESTION)
    with pytest.raises(NotAuthenticated):
        open_question(SECRET, body, now_s=100.0)
    body, _ = seal_question(SECRET, QUESTION)
    with pytest.raises(NotAuthenticated):
        open_question(SECRET, body[:-1] + bytes([body[-1] ^ 1]), now_s=100.0)


@pytest.mark.parametrize("off_s", [-MAX_AGE_S - 1, MAX_AGE_S + 1])
def test_an_old_question_is_refused(off_s: float) -> None:
    body, _ = seal_question(SECRET, QUESTION)
    with pytest.raises(NotAuthenticated, match="clocks"):
        open_question(SECRET, body, now_s=100.0 + off_s)


def test_an_answer_opens_only_where_its_question_was_asked() -> None:
    first, opens_first = seal_question(SECRET, QUESTION)
    second, _ = seal_question(SECRET, QUESTION)
    _, sealer = open_question(SECRET, second, now_s=100.0)
    with pytest.raises(Tampered):
        open_answer(opens_first, seal_answer(sealer, HostAnswer()))
    with pytest.raises(Tampered):
        open_answer(opens_first, first[16:])


def test_a_request_that_no_question_holds_is_an_error_of_this_request_alone() -> None:
    asked = Request(messages=[{"role": "user", "content": "x", "n": 10**30}])
    with pytest.raises(BadInput, match="cannot be sent"):
        seal_question(SECRET, HostQuestion(sent_at=100.0, specialist="a", request=asked))


def test_an_answer_that_is_nested_too_deeply_is_none() -> None:
    body, opens = seal_question(SECRET, QUESTION)
    _, sealer = open_question(SECRET, body, now_s=100.0)
    deep = b"\x81\xaaprediction\x81\xa6answer" + b"\x91" * 20_000 + b"\xc0"
    with pytest.raises(Tampered):
        open_answer(opens, sealer.seal(deep, b"answer"))
