"""The pieces of text in the events of a stream: where they are, which text they continue, and which texts an event
ends.

One set of rules for chat completions, completions, messages and responses: their events cannot be confused.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

TextKey = tuple[Any, ...]
"""Which text of a reply a piece belongs to."""

_CHOICE_TEXTS = ("content", "refusal", "reasoning_content", "reasoning")
_MESSAGES_TEXTS = {"text_delta": "text", "input_json_delta": "partial_json"}
_MESSAGES_ENDS = frozenset({"message_delta", "message_stop"})
_RESPONSES_ENDS = frozenset({"response.completed", "response.incomplete", "response.failed", "error"})
_PLACE = ("item_id", "output_index", "content_index", "summary_index")


class TextPiece(NamedTuple):
    """A piece of text in an event."""

    key: TextKey
    holder: dict[str, Any]
    """The object that it is in."""
    field: str
    text: str
    in_json: bool | None
    """The text that it belongs to is JSON; None: it may be."""
    event: dict[str, Any]
    is_last: bool = False
    """The event says that nothing follows."""

    def put(self, text: str) -> None:
        """Writes another text in its place."""
        self.holder[self.field] = text

    def event_with(self, text: str) -> dict[str, Any]:
        """An event that carries a piece of the same text and nothing else."""
        if self.key[0] == "choice":
            head = {k: v for k, v in self.event.items() if k not in ("choices", "usage")}
            return {**head, "choices": [self._choice_with(text)]}
        if self.key[0] == "block":
            delta = {"type": self.event["delta"]["type"], self.field: text}
            return {"type": "content_block_delta", "index": self.key[1], "delta": delta}
        return {**self.event, "delta": text}

    def _choice_with(self, text: str) -> dict[str, Any]:
        _, index, name, *inner = self.key
        if name == "text":
            return {"index": index, "text": text, "finish_reason": None}
        delta: dict[str, Any]
        if name == "tool":
            delta = {"tool_calls": [{"index": inner[0], inner[1]: {self.field: text}}]}
        elif name == "function_call":
            delta = {"function_call": {"arguments": text}}
        elif name == "audio":
            delta = {"audio": {"transcript": text}}
        elif name == "reasoning_details":
            delta = {name: [{"type": inner[1], "index": inner[0], self.field: text}]}
        else:
            delta = {name: text}
        return {"index": index, "delta": delta, "finish_reason": None}


def text_deltas(event: dict[str, Any]) -> list[TextPiece]:
    """The pieces of text in one event."""
    choices = event.get("choices")
    if isinstance(choices, list):
        return [
            delta
            for n, choice in enumerate(choices)
            if isinstance(choice, dict)
            for delta in _of_choice(event, n, choice)
        ]
    kind, delta = event.get("type"), event.get("delta")
    if kind == "content_block_delta" and isinstance(delta, dict):
        field = _MESSAGES_TEXTS.get(str(delta.get("type")))
        if field is not None and isinstance(delta.get(field), str):
            in_json = True if field == "partial_json" else None
            return [TextPiece(("block", event.get("index")), delta, field, delta[field], in_json, event)]
    elif isinstance(kind, str) and kind.endswith(".delta") and isinstance(delta, str):
        base = kind.removesuffix(".delta")
        key = ("item", base, *(event.get(name) for name in _PLACE))
        return [TextPiece(key, event, "delta", delta, True if "arguments" in base else None, event)]
    return []


def _of_choice(event: dict[str, Any], n: int, choice: dict[str, Any]) -> Iterator[TextPiece]:
    index = choice.get("index", n)

    def piece(holder: dict[str, Any], field: str, *name: Any, in_json: bool | None = None) -> TextPiece:
        last = bool(choice.get("finish_reason"))
        return TextPiece(("choice", index, *name), holder, field, holder[field], in_json, event, last)

    if isinstance(choice.get("text"), str):
        yield piece(choice, "text", "text")
    delta = choice.get("delta")
    if not isinstance(delta, dict):
        return
    for name in _CHOICE_TEXTS:
        if isinstance(delta.get(name), str):
            yield piece(delta, name, name)
    content = delta.get("content")
    for part in content if isinstance(content, list) else ():
        if isinstance(part, dict) and isinstance(part.get("text"), str):
            yield piece(part, "text", "content")
    audio = delta.get("audio")
    if isinstance(audio, dict) and isinstance(audio.get("transcript"), str):
        yield piece(audio, "transcript", "audio")
    details = delta.get("reasoning_details")
    for at, part in enumerate(details if isinstance(details, list) else ()):
        for field in ("text", "summary") if isinstance(part, dict) else ():
            if isinstance(part.get(field), str):
                yield piece(part, field, "reasoning_details", part.get("index", at), part.get("type"), field)
    called = delta.get("function_call")
    if isinstance(called, dict) and isinstance(called.get("arguments"), str):
        yield piece(called, "arguments", "function_call", in_json=True)
    calls = delta.get("tool_calls")
    for at, call in enumerate(calls if isinstance(calls, list) else ()):
        if not isinstance(call, dict):
            continue
        for name, field in (("function", "arguments"), ("custom", "input")):
            inner = call.get(name)
            if isinstance(inner, dict) and isinstance(inner.get(field), str):
                number = call.get("index", at)
                yield piece(inner, field, "tool", number, name, in_json=True if name == "function" else None)


def ends_of(
    event: dict[str, Any], deltas: Collection[TextPiece], open_texts: Collection[TextKey]
) -> list[TextKey]:
    """Those of the open texts that have ended before an event."""
    choices = event.get("choices")
    if isinstance(choices, list):
        goes_on = {delta.key for delta in deltas if delta.text}
        finished = {
            choice.get("index", n)
            for n, choice in enumerate(choices)
            if isinstance(choice, dict) and choice.get("finish_reason")
        }
        moved = {key[1] for key in goes_on}
        # calls may take turns; a text before them, or before another text, is over
        return [
            key
            for key in open_texts
            if key[0] == "choice"
            and key not in goes_on
            and (key[1] in finished or (key[1] in moved and key[2] != "tool"))
        ]
    kind = event.get("type")
    if kind == "content_block_stop":
        return [key for key in open_texts if key == ("block", event.get("index"))]
    if kind in _MESSAGES_ENDS or kind in _RESPONSES_ENDS:
        return list(open_texts)
    if isinstance(kind, str) and kind.endswith(".done"):
        place = [event.get(name) for name in _PLACE]
        base = kind.removesuffix(".done")
        return [
            key
            for key in open_texts
            if key[0] == "item"
            and (key[1:] == (base, *place) or (base == "response.output_item" and key[3] == place[1]))
        ]
    return []
