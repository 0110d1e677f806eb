"""Log-probabilities of a reply's tokens, as far as they can stay: only where de-identification left the reply as it
was.

An alternative token is text that nobody has looked at. It stays where it stands in the reply as well, or has neither a
capital letter nor a digit nor an @: what may be the beginning of a name, a number or an address is left out.
"""

from __future__ import annotations

from typing import Any

from deputize.core.records import Call, Message

MAX_CHARS = 24
"""Longest alternative token that is kept."""


def reply_logprobs(call: Call, response: Message) -> list[list[tuple[str, float]]]:
    """Per token of the reply the likeliest tokens with their log-probabilities, the written one first.

    Args:
        call: as it was recorded, with `logprobs` in OpenAI's form.
        response: its reply after de-identification.

    Returns:
        [] where nothing was logged, the reply was changed, or the tokens are not those of the reply.
    """
    content = call.response.get("content")
    if not isinstance(content, str) or not content or response.get("content") != content:
        return []
    entries = call.logprobs.get("content") if isinstance(call.logprobs, dict) else None
    rows = [_row(entry, content) for entry in entries] if isinstance(entries, list) else []
    known = [row for row in rows if row]
    return known if len(known) == len(rows) and "".join(row[0][0] for row in known) == content else []


def _row(entry: Any, content: str) -> list[tuple[str, float]]:
    written = _pair(entry)
    if written is None:
        return []
    others = entry.get("top_logprobs")
    pairs = [_pair(one) for one in others] if isinstance(others, list) else []
    kept = [
        pair for pair in pairs if pair is not None and pair[0] != written[0] and _is_clean(pair[0], content)
    ]
    return [written, *kept]


def _pair(entry: Any) -> tuple[str, float] | None:
    if not isinstance(entry, dict):
        return None
    token, log_p = entry.get("token"), entry.get("logprob")
    return (token, float(log_p)) if isinstance(token, str) and isinstance(log_p, int | float) else None


def _is_clean(token: str, content: str) -> bool:
    if token in content:
        return True
    return len(token) <= MAX_CHARS and not any(c.isupper() or c.isdigit() or c == "@" for c in token)
