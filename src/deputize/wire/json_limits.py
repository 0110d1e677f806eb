"""Limits on the JSON of a request, checked before it is decoded: how deep it is nested and how many values it holds.

A decoded value takes some 60 bytes of memory however short its text: without a limit 30 MB of `[],` become 800 MB.
"""

from __future__ import annotations

from deputize.core.errors import BadInput

MAX_DEPTH = 128
MAX_VALUES = 250_000

_NOT_MARKS = bytes(i for i in range(256) if i not in b'[]{},"')
_ALL_SQUARE = bytes.maketrans(b"{}", b"[]")
_PIECE_BYTES = 1 << 20


def check_values(body: bytes) -> None:
    """Checks how many values a JSON text holds, before it is decoded. Of text that is not JSON the decoder says so.

    Raises:
        BadInput: more than MAX_VALUES, or brackets without end.
    """
    if len(body) <= MAX_VALUES or body.count(b"[") + body.count(b"{") + body.count(b",") <= MAX_VALUES:
        return  # signs inside strings are counted too, so this is on the safe side
    marks = _marks(body)
    many = marks.count(b'"') > 4 * MAX_VALUES  # each member of an object has two strings at most
    structure = b"" if many else b"".join(marks.split(b'"')[::2])
    if many or sum(map(structure.count, (b"[", b"{", b","))) > MAX_VALUES:
        if _is_deeper(structure.replace(b",", b"")):
            raise too_deep()
        raise BadInput(f"The request body holds more than {MAX_VALUES} values.")


def check_depth(body: bytes) -> None:
    """Checks how deeply a JSON text is nested, after it was decoded.

    Raises:
        BadInput: more deeply than MAX_DEPTH.
    """
    if len(body) > MAX_DEPTH and body.count(b"[") + body.count(b"{") > MAX_DEPTH:
        brackets = b"".join(_marks(body).split(b'"')[::2]).replace(b",", b"")
        if _is_deeper(brackets):
            raise too_deep()


def too_deep() -> BadInput:
    """The error for a body that is nested too deeply."""
    return BadInput("The request body is nested too deeply.")


def _marks(body: bytes) -> bytes:
    """Brackets, commas and quotes of a JSON text, those inside strings included, but for escaped quotes."""
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    # piece by piece: each step holds the interpreter
    pieces = range(0, len(body), _PIECE_BYTES)
    return b"".join([body[at : at + _PIECE_BYTES].translate(None, _NOT_MARKS) for at in pieces])


def _is_deeper(brackets: bytes) -> bool:
    """True where brackets are nested more deeply than MAX_DEPTH. Each round takes away the innermost pairs."""
    brackets = brackets.translate(_ALL_SQUARE)
    for _ in range(MAX_DEPTH):
        brackets = brackets.replace(b"[]", b"")
        if not brackets:
            return False
    return bool(brackets)
