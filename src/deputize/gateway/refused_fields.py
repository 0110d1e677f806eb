"""Request fields that servers of one protocol do not agree on, and what is learned from a server that refuses one.

The gateway adds or names these itself (a client of another protocol cannot know them), so it also asks again without.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, Literal

Refused = Literal[
    "stream_options", "max_tokens", "max_completion_tokens", "reasoning_content", "no reasoning"
]
"""What a server does not take: a field, or messages without the reasoning that it gave."""

REFUSAL_STATUS = frozenset({400, 422})
_MANY_BYTES = 64 * 1024
_REFUSES = re.compile(
    rb"unsupported|not supported|unrecogni[sz]ed|unknown|unexpected|extra|not permitted|not allowed|invalid|does not exist",
    re.IGNORECASE,
)
_NEW_NAME = re.compile(r"(?:^|/)(?:gpt-5|o[1-9])(?:[-.]|$)")
"""Models of OpenAI's that take the newer name of the limit only."""
_KEEPS_REASONING = re.compile(r"deepseek|kimi|moonshot|minimax|mimo|glm-[4-9]|qwen3", re.IGNORECASE)
"""Models whose servers want earlier reasoning back, at least beside tool calls."""


def adapted(fields: dict[str, Any], model: str, refused: Collection[str]) -> dict[str, Any]:
    """A translated chat request in the form that a server takes for a model.

    Args:
        fields: as `from_chat` gives it.
        model: the server's name of it.
        refused: what the server has refused so far.
    """
    limit = fields.get("max_tokens", fields.get("max_completion_tokens"))
    if limit is not None:
        wants_new = ("max_tokens" in fields and bool(_NEW_NAME.search(model))) or "max_tokens" in refused
        keeps_new = "max_completion_tokens" in fields and "max_completion_tokens" not in refused
        name = "max_completion_tokens" if wants_new or keeps_new else "max_tokens"
        rest = {k: v for k, v in fields.items() if k not in ("max_tokens", "max_completion_tokens")}
        fields = {**rest, name: limit}
    if not _sends_reasoning(model, refused) and any("reasoning_content" in m for m in fields["messages"]):
        bare = [{k: v for k, v in m.items() if k != "reasoning_content"} for m in fields["messages"]]
        fields = {**fields, "messages": bare}
    return fields


def _sends_reasoning(model: str, refused: Collection[str]) -> bool:
    if "reasoning_content" in refused:
        return False
    return "no reasoning" in refused or bool(_KEEPS_REASONING.search(model))


def refused_field(
    body: bytes, sent: bytes, *, model: str, refused: Collection[str], translated: bool
) -> Refused | None:
    """The field that a server's refusal names, of those that the gateway added or named itself; None where it names
    none.

    Args:
        body: of an answer with a status of REFUSAL_STATUS.
        sent: the body of the request.
        model: the server's name of it.
        refused: what it has refused before; it is not named again.
        translated: the request came in another protocol.
    """
    text = body[:_MANY_BYTES]
    found: Refused | None = None
    if b"stream_options" in text and b'"stream_options"' in sent:
        found = "stream_options"
    elif translated and b"reasoning_content" in text:
        found = "reasoning_content" if _sends_reasoning(model, refused) else "no reasoning"
    elif translated and b"max_completion_tokens" in text and b'"max_tokens"' in sent:
        found = "max_tokens"
    elif translated and b"max_completion_tokens" in text and _REFUSES.search(text):
        found = "max_completion_tokens"
    return found if found not in refused else None
