"""What gateways and hosts of specialists say to each other over HTTP: sealed with a key that each exchange has to
itself.

The key comes from the keys of the home, so whoever has none can neither ask, nor read along, nor answer; an answer
opens only where the question was asked. (One key for all would reach the bound on random nonces of NIST SP 800-38D,
section 8.3, within weeks.) The head of a question proves the same for its length, so that a host takes no byte of a
body from somebody without the keys.
"""

from __future__ import annotations

import hmac
import os
import re
from typing import Literal, NamedTuple, TypeVar

import msgspec

from deputize.core.errors import NotAuthenticated, Tampered
from deputize.core.records import Prediction, Record, Request
from deputize.specialists.serving.frames import encoded
from deputize.store.keys.ciphers import derived
from deputize.store.keys.keyring import Sealer

PATH = "/v1/specialists"
HEAD = "x-deputize-question"
"""Header of a question: its id, when it was sent (in ms), the bytes of its body, and a MAC over the three."""
PURPOSE = "specialist hosts"
"""Of the secret that is derived from the keys of a home."""
MAX_AGE_S = 300.0
"""A question that is older, or as much ahead, is refused: a recorded one cannot be asked for ever."""
_ID_BYTES = 16
_HEAD = re.compile(r"([0-9a-f]{32})\.(-?[0-9]{1,16})\.([0-9]{1,10})\.([0-9a-f]{64})")

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
    is_loading: bool = False
    """It is not ready, and will be once it has loaded them."""


class HostAnswer(Record):
    """Host -> gateway."""

    prediction: Prediction | None = None
    card_sha256: str = ""
    """Of the card of the specialist that answered, as it was loaded."""
    trouble: Trouble = ""
    error: str = ""
    state: HostState | None = None


class SealedQuestion(NamedTuple):
    """A question as it is sent."""

    head: str
    """Value of the header `HEAD`."""
    body: bytes
    sealer: Sealer
    """Opens its answer."""


class ProvenHead(NamedTuple):
    """The head of a question from somebody with the keys."""

    id_: bytes
    """Of this question; no other has it."""
    sealer: Sealer
    """Opens the question, and seals its answer."""


def seal_question(secret: bytes, question: HostQuestion) -> SealedQuestion:
    """A question to one host, under a key of its own.

    Raises:
        BadInput: the request has what no question can hold.
    """
    id_ = os.urandom(_ID_BYTES)
    sealer = _sealer(secret, id_)
    body = sealer.seal(encoded(question), b"question")
    what = f"{id_.hex()}.{round(question.sent_at * 1e3)}.{len(body)}"
    return SealedQuestion(f"{what}.{_mac(sealer, what)}", body, sealer)


def prove_head(secret: bytes, head: str, length: str, *, now_s: float) -> ProvenHead:
    """Checks the head of a question, before its body is read.

    Args:
        secret: derived from the keys of the home for `PURPOSE`.
        head: the header `HEAD`; "": there is none.
        length: the header content-length; "": there is none.
        now_s: Unix seconds.

    Raises:
        NotAuthenticated: it was not made with the keys of this home, for a body of this length, or is too old.
    """
    found = _HEAD.fullmatch(head)
    if found is not None:
        id_, sent_ms, n_bytes, mac = found.groups()
        sealer = _sealer(secret, bytes.fromhex(id_))
        is_theirs = hmac.compare_digest(mac, _mac(sealer, head.rpartition(".")[0]))
        if is_theirs and n_bytes == length:
            if not abs(age_s := now_s - int(sent_ms) / 1e3) <= MAX_AGE_S:
                raise NotAuthenticated(
                    f"This question was asked {age_s:+.0f} s ago: compare the clocks of the machines."
                )
            return ProvenHead(bytes.fromhex(id_), sealer)
    raise NotAuthenticated(
        "Specialists answer questions that are sealed with the keys of their home, and this is none."
    )


def open_question(sealer: Sealer, body: bytes) -> HostQuestion:
    """The question in a body whose head was proven.

    Raises:
        NotAuthenticated: it is not the body that this head was made for.
    """
    try:
        return _opened(sealer, body, b"question", HostQuestion)
    except Tampered as error:
        raise NotAuthenticated(f"The body of this question does not belong to its head: {error}") from error


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


def _mac(sealer: Sealer, what: str) -> str:
    return sealer.derive(f"head/{what}").hex()


def _sealer(secret: bytes, id_: bytes) -> Sealer:
    return Sealer(derived(secret, f"exchange/{id_.hex()}"))
