"""The model that a form (multipart/form-data) names, read so that no server can read another one.

References:
    RFC 7578 (forms), RFC 2046, section 5.1 (boundaries).
"""

from __future__ import annotations

from collections.abc import Mapping
from email.errors import MessageError
from email.message import Message
from email.parser import BytesHeaderParser
from email.utils import collapse_rfc2231_value

from deputize.core.errors import BadInput

_MAX_PARTS, _MAX_HEAD_BYTES, _MAX_MODEL_BYTES = 1000, 4096, 200
_END = b"--"


def form_model(headers: Mapping[str, str], body: bytes) -> str:
    """The model that a form names; "" where it names none, or the body is no form.

    Args:
        headers: lower-case names.
        body: of the request.

    Raises:
        BadInput: it names several, or servers could differ in what its parts are.
    """
    declared = headers.get("content-type", "")
    if not declared.lower().lstrip().startswith("multipart/form-data"):
        return ""
    boundary = b"--" + _boundary(declared)
    found: list[bytes] = []
    for part in _parts(body, boundary):
        head, blank, value = part.partition(b"\r\n\r\n")
        if not blank or len(head) > _MAX_HEAD_BYTES or b"\n" in head.replace(b"\r\n", b""):
            raise _unclear("a part without a head of its own")
        if _name(head) == "model":
            found.append(value)
    if len(found) > 1:
        raise BadInput("The request gives 'model' more than once.")
    if found and len(found[0]) > _MAX_MODEL_BYTES:
        raise _unclear("the name of a model that is none")
    return found[0].decode("utf-8", "replace").strip() if found else ""


def _unclear(what: str) -> BadInput:
    return BadInput(f"The form holds {what}, so servers may differ in what it says.")


def _boundary(declared: str) -> bytes:
    message = Message()
    message["content-type"] = declared
    named = [value for name, value in message.get_params([], unquote=True) if name.lower() == "boundary"]
    if len(named) != 1 or not named[0] or not named[0].isascii():
        raise _unclear("no boundary, or several")
    return named[0].encode()


def _parts(body: bytes, delimiter: bytes) -> list[bytes]:
    """The parts between lines that begin with the delimiter; what is before and behind them is not looked at."""
    if body.count(delimiter) > _MAX_PARTS:
        raise _unclear(f"more than {_MAX_PARTS} parts")
    pieces = (b"\r\n" + body).split(b"\r\n" + delimiter)
    # some servers also take a delimiter behind a bare line feed, or within a line
    if any(delimiter in piece for piece in pieces):
        raise _unclear("its boundary within a part")
    parts: list[bytes] = []
    for piece in pieces[1:]:
        if piece.startswith(_END):
            break
        rest = piece.lstrip(b" \t")
        if not rest.startswith(b"\r\n"):
            raise _unclear("a boundary that goes on")
        parts.append(rest[2:])
    return parts


def _name(head: bytes) -> str:
    """The name of a field, in lower case."""
    message = BytesHeaderParser().parsebytes(head + b"\r\n\r\n")
    dispositions = message.get_all("content-disposition", [])
    if len(dispositions) != 1:
        raise _unclear("a part without a name")
    try:
        params = message.get_params([], header="content-disposition", unquote=True)
        names = [value for name, value in params[1:] if name.lower() in ("name", "name*")]
        named = message.get_param("name", header="content-disposition")
    except (MessageError, ValueError, UnicodeError):
        raise _unclear("a name that cannot be read") from None
    if len(names) != 1 or named is None:
        raise _unclear("a part without a name, or with several")
    return collapse_rfc2231_value(named).strip().lower()
