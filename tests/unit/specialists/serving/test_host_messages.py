"""Sealed questions and answers between gateways and hosts."""

from __future__ import annotations

import pytest

from deputize.core.errors import BadInput, NotAuthenticated, Tampered
from deputize.core.records import Prediction, Request
from deputize.specialists.serving.host_messages import (
    MAX_AGE_S,
    HostAnswer,
    HostQuestion,
    SealedQuestion,
    open_answer,
    open_question,
    prove_head,
    seal_answer,
    seal_question,
)
from deputize.store.keys.keyring import Sealer

SECRET, OTHER = b"s" * 32, b"o" * 32
QUESTION = HostQuestion(
    sent_at=100.0, specialist="a", request=Request(messages=[{"role": "user", "content": "Ann"}])
)


def opened(sealed: SealedQuestion, now_s: float = 100.0) -> tuple[HostQuestion, Sealer]:
    """(question, what seals its answer), as a host gets them."""
    head = prove_head(SECRET, sealed.head, str(len(sealed.body)), now_s=now_s)
    return open_question(head.sealer, sealed.body), head.sealer


def test_a_question_and_its_answer_come_as_they_were_sent() -> None:
    sealed = seal_question(SECRET, QUESTION)
    assert b"Ann" not in sealed.body
    asked, sealer = opened(sealed, 101.0)
    assert asked == QUESTION
    answer = HostAnswer(prediction=Prediction(answer="x", confidence=0.1 + 0.2), card_sha256="c")
    assert open_answer(sealed.sealer, seal_answer(sealer, answer)) == answer


def test_a_head_that_was_not_made_with_the_keys_for_this_length_is_refused() -> None:
    good = seal_question(SECRET, QUESTION)
    id_, sent, n_bytes, mac = good.head.split(".")
    length = str(len(good.body))
    other = seal_question(OTHER, QUESTION)
    wrong = [
        ("", length),
        (good.head, ""),
        (good.head, str(32 << 20)),
        (f"{id_}.{sent}.{32 << 20}.{mac}", str(32 << 20)),
        (f"{id_}.{int(sent) + 1}.{n_bytes}.{mac}", length),
        (f"{'0' * 32}.{sent}.{n_bytes}.{mac}", length),
        (other.head, str(len(other.body))),
        (good.head + "\n", length),
    ]
    for head, n in wrong:
        with pytest.raises(NotAuthenticated, match="sealed with the keys"):
            prove_head(SECRET, head, n, now_s=100.0)


def test_a_body_that_was_changed_or_belongs_to_another_head_is_refused() -> None:
    first, second = seal_question(SECRET, QUESTION), seal_question(SECRET, QUESTION)
    changed = first.body[:-1] + bytes([first.body[-1] ^ 1])
    for body in (changed, second.body, b"x" * len(first.body)):
        with pytest.raises(NotAuthenticated, match="does not belong to its head"):
            opened(first._replace(body=body))


@pytest.mark.parametrize("off_s", [-MAX_AGE_S - 1, MAX_AGE_S + 1])
def test_an_old_question_is_refused(off_s: float) -> None:
    with pytest.raises(NotAuthenticated, match="clocks"):
        opened(seal_question(SECRET, QUESTION), 100.0 + off_s)


def test_an_answer_opens_only_where_its_question_was_asked() -> None:
    first = seal_question(SECRET, QUESTION)
    _, sealer = opened(seal_question(SECRET, QUESTION))
    with pytest.raises(Tampered):
        open_answer(first.sealer, seal_answer(sealer, HostAnswer()))
    with pytest.raises(Tampered):
        open_answer(first.sealer, first.body)


def test_a_request_that_no_question_holds_is_an_error_of_this_request_alone() -> None:
    asked = Request(messages=[{"role": "user", "content": "x", "n": 10**30}])
    with pytest.raises(BadInput, match="cannot be sent"):
        seal_question(SECRET, HostQuestion(sent_at=100.0, specialist="a", request=asked))


def test_an_answer_that_is_nested_too_deeply_is_none() -> None:
    sealed = seal_question(SECRET, QUESTION)
    _, sealer = opened(sealed)
    deep = b"\x81\xaaprediction\x81\xa6answer" + b"\x91" * 20_000 + b"\xc0"
    with pytest.raises(Tampered):
        open_answer(sealed.sealer, sealer.seal(deep, b"answer"))
