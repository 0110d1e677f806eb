"""Error bodies of upstreams, read whichever protocol they are in."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from deputize.core.errors import UpstreamError
from deputize.http.content_encoding import decompressor
from deputize.http.headers import header
from deputize.http.transport import UpstreamResponse
from deputize.wire.json_fields import decode_answer

_LONGEST = 2000
_ABOUT_PATH = re.compile(
    r"endpoint|\burl\b|\bpath\b|\broute\b|method not allowed|page not found|/v1/", re.IGNORECASE
)
_ABOUT_OBJECT = re.compile(r"model|deployment|engine|response with id|no such|does not exist", re.IGNORECASE)


class UpstreamRefusal(NamedTuple):
    """The reason that an upstream gives for a refusal."""

    message: str
    kind: str = "upstream_error"
    code: str | None = None


def plain_body(response: UpstreamResponse, body: bytes) -> bytes:
    """A body without its compression; b"" where it cannot be undone."""
    encoding = header(response.headers, "content-encoding", "identity")
    try:
        return decompressor(encoding)(body)
    except UpstreamError:
        return b""


def lacks_endpoint(status: int, body: bytes) -> bool:
    """True where an answer says that the server does not know the path (rather than a model or an id in the request).

    Some servers answer 200 with an error in place of 404: with this status only an error that speaks of the path
    counts.
    """
    if status not in (200, 404, 405, 501):
        return False
    value = decode_answer(body) if body.lstrip()[:1] in (b"{", b"[") else None
    if status == 200:
        error = value.get("error") if isinstance(value, dict) else None
        return bool(error) and bool(_ABOUT_PATH.search(_sentence(value)))
    if not isinstance(value, dict):
        return True
    error = value.get("error")
    fields = error if isinstance(error, dict) else value
    code = fields.get("code")
    if isinstance(code, str) and code.lower().endswith(("_not_found", "notfound")):
        return False
    sentence = _sentence(value)
    if _ABOUT_PATH.search(sentence):
        return True
    return fields.get("param") is None and not _ABOUT_OBJECT.search(sentence)


def error_message(body: bytes) -> str:
    """The sentence in an upstream's error body."""
    return refusal_in(body).message


def refusal_in(body: bytes) -> UpstreamRefusal:
    """An upstream's refusal, in whichever of the usual forms its body has."""
    text = body[: 4 * _LONGEST].decode("utf-8", "replace").strip()
    if text[:1] not in ("{", "["):
        if text[:1] == "<":
            text = " ".join(_TAGS.sub(" ", text).split())
        if not text or (not text.isprintable() and "\x00" in text):
            return UpstreamRefusal("The upstream sent an answer that cannot be read.")
        return UpstreamRefusal(text[:_LONGEST])
    value = decode_answer(body)
    if value is None:
        return UpstreamRefusal("The upstream sent an answer that cannot be read.")
    message = _sentence(value) or _longest_text(value) or "The upstream refused the request."
    if isinstance(value, list) and value:
        value = value[0]
    error = value.get("error") if isinstance(value, dict) else None
    if not isinstance(error, dict):
        return UpstreamRefusal(message)
    kind, code = error.get("type"), error.get("code")
    return UpstreamRefusal(
        message,
        kind if isinstance(kind, str) and kind else "upstream_error",
        code if isinstance(code, str) and code else None,
    )


_TAGS = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^>]*>", re.DOTALL | re.IGNORECASE)


def _longest_text(value: Any, depth: int = 0) -> str:
    """The longest text of several words in an error whose form nobody knows; "" where there is none."""
    if isinstance(value, str):
        return value[:_LONGEST] if " " in value.strip() else ""
    if isinstance(value, dict):
        value = list(value.values())
    if not isinstance(value, list) or depth > 4:
        return ""
    return max((_longest_text(item, depth + 1) for item in value[:50]), key=len, default="")


_SENTENCES = (
    "message",
    "detail",
    "Message",
    "error_message",
    "msg",
    "error_description",
    "description",
    "title",
)


def _sentence(value: Any) -> str:
    """The sentence in an error: of an object, of a list of them, or itself; "" where there is none."""
    if isinstance(value, str):
        return value[:_LONGEST]
    if isinstance(value, list):
        return "; ".join(s for item in value[:5] if (s := _sentence(item)))[:_LONGEST]
    if not isinstance(value, dict):
        return ""
    for name in ("error", "errors", *_SENTENCES):
        inner = value.get(name)
        if inner and (found := _sentence(inner)):
            return found
    return ""
