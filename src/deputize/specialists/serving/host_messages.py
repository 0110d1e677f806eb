"""What gateways and hosts of specialists say to each other over HTTP: sealed with a key that each exchange has to
itself.

The key comes from the keys of the home, so whoever has none can neither ask, nor read along, nor answer; an answer
opens only where the question was asked. (One key for all would reach the bound on random nonces of NIST SP 800-38D,
section 8.3, within weeks.)
"""

from __future__ import annotations

import os
from typing import Literal, TypeVar

import msgspec

from deputize.core.errors import NotAuthenticated, Tampered
from deputize.core.records import Prediction, Record, Request
from deputize.specialists.serving.frames import encoded
from deputize.store.keys.ciphers import derived
from deputize.store.keys.keyring import Sealer

PATH = "/v1/specialists"
PURPOSE = "specialist hosts"
"""Of the secret that is derived from the keys of a home."""
MAX_AGE_S = 300.0
"""A question that is older, or as much ahead, is refused: a recorded one cannot be asked for ever."""
_ID_BYTES = 16

Trouble = Literal["", "timeout", "failed", "loading", "away", "version", "draining"]
"""Why there is no answer: not in time, the specialist failed, is being loaded, its worker is not there, it is of
another version, the host ends."""


class HostQuestion(Record):
    """Gateway -> host: answer this request, or say what you serve."""

    sent_at: float
    """Unix seconds."""
    specialist: str = ""
    """Folder, relative to the home. "": none is asked."""
    card_sha256: str = ""
    """Of the card of the version that is wanted."""
    request: Request | None = None
    within_s: float = 30.0
    """After that nobody waits for the answer any more."""


class HostState(Record):
    """The specialists that a host serves."""

    process: str
    """Names the process; another one after a restart."""
    specialists: dict[str, str]
    """Of its routes that are not closed: folder -> SHA-256 of the card."""
    is_ready: bool = True


class HostAnswer(Record):
    """Host -> gateway."""

    prediction: Prediction | None = None
    card_sha256: str = ""
    """Of the card of the specialist that answered, as it was loaded."""
    trouble: Trouble = ""
    error: str = ""
    state: HostState | None = None


def seal_question(secret: bytes, question: HostQuestion) -> tuple[bytes, Sealer]:
    """(body of a request, what opens its answer).

    Raises:
        BadInput: the request has what no question can hold.
    """
    id_ = os.urandom(_ID_BYTES)
    sealer = _sealer(secret, id_)
    return id_ + sealer.seal(encoded(question), b"question"), sealer


def open_question(secret: bytes, body: bytes, *, now_s: float) -> tuple[HostQuestion, Sealer]:
    """(question, what seals its answer).

    Args:
        secret: derived from the keys of the home for `PURPOSE`.
        body: of the request.
        now_s: Unix seconds.

    Raises:
        NotAuthenticated: it is not sealed with the keys of this home, or too old.
    """
    sealer = _sealer(secret, body[:_ID_BYTES])
    try:
        question = _opened(sealer, body[_ID_BYTES:], b"question", HostQuestion)
    except Tampered as error:
        raise NotAuthenticated(
            "Specialists answer questions that are sealed with the keys of their home, and this is none."
        ) from error
    if not abs(now_s - question.sent_at) <= MAX_AGE_S:
        raise NotAuthenticated(
            f"This question was asked {now_s - question.sent_at:+.0f} s ago: compare the clocks of the machines."
        )
    return question, sealer


def seal_answer(sealer: Sealer, answer: HostAnswer) -> bytes:
    """The body of a response."""
    return sealer.seal(encoded(answer), b"answer")


def open_answer(sealer: Sealer, body: bytes) -> HostAnswer:
    """The answer to the question that the sealer came with.

    Raises:
        Tampered: it is not from a host with these keys, or answers another question.
    """
    return _opened(sealer, body, b"answer", HostAnswer)


M = TypeVar("M", HostQuestion, HostAnswer)


def _opened(sealer: Sealer, body: bytes, direction: bytes, kind: type[M]) -> M:
    try:
        return msgspec.msgpack.decode(sealer.unseal(body, direction), type=kind)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Tampered(f"A message between gateway and host is of another version: {error}") from error


def _sealer(secret: bytes, id_: bytes) -> Sealer:
    return Sealer(derived(secret, f"exchange/{id_.hex()}"))
