"""Examples without their texts, for what only counts them, and the calls behind them; what many examples have alike is
held once.

A record that is read from the disk has its own of each name and list, and a log has millions of records.
"""

from __future__ import annotations

from typing import Any

import msgspec

from deputize.core.artifacts import Withheld
from deputize.core.records import Example, Message, Request

_NO_REQUEST = Request(messages=[])
_NO_RESPONSE: Message = {}
NO_LIST: list[Any] = []
"""Held once for all: nothing changes the parts of an example."""
_MAX_SHARED = 4_096
"""Different tools, reply formats, system prompts and labels that are held once."""
_MAX_NAMES = 65_536
"""Different names, such as those of episodes, whose calls are near each other."""
_LABEL_CHARS = 64
"""A longer answer is seldom given twice."""


def source_id(example: Example) -> str:
    """The call of the log that an example is, or was made from."""
    return example.made_from or example.call_id


class Shared:
    """Makes equal parts of examples one and the same object; remembers those that came last."""

    def __init__(self) -> None:
        self._values: dict[bytes, Any] = {}
        self._names: dict[str, str] = {}

    def name(self, name: str) -> str:
        """An equal name."""
        if len(self._names) >= _MAX_NAMES:
            self._names.clear()
        return self._names.setdefault(name, name)

    def value(self, value: Any) -> Any:
        """An equal value that can be written as JSON."""
        if not value:
            return value
        if len(self._values) >= _MAX_SHARED:
            self._values.clear()
        return self._values.setdefault(msgspec.json.encode(value), value)

    def example(self, example: Example) -> Example:
        """An equal example that shares tools, reply format, system prompts, labels and names with earlier ones.

        Agents send the same again with every call; read back record by record it would be in memory as often.
        """
        name, request, response = self.name, example.request, example.response
        said = response.get("content")
        if "tool_calls" not in response and isinstance(said, str) and len(said) <= _LABEL_CHARS:
            response = self.value(response)
        return msgspec.structs.replace(
            example,
            request=msgspec.structs.replace(
                request,
                messages=[self._message(m) for m in request.messages],
                tools=self.value(request.tools),
                response_format=self.value(request.response_format),
                agent=name(request.agent),
                site=name(request.site),
            ),
            response=response,
            site=name(example.site),
            episode=name(example.episode),
            group=name(example.group),
            model=name(example.model),
            origin=name(example.origin),
            tenant=name(example.tenant),
            drop_reason=name(example.drop_reason),
            repeated=example.repeated or NO_LIST,
            logprobs=example.logprobs or NO_LIST,
        )

    def withheld(self, withheld: Withheld) -> Withheld:
        """An equal record that shares names with earlier ones."""
        name = self.name
        return msgspec.structs.replace(
            withheld,
            reason=name(withheld.reason),
            site=name(withheld.site),
            tenant=name(withheld.tenant),
            episode=name(withheld.episode),
            group=name(withheld.group),
            repeated=withheld.repeated or NO_LIST,
        )

    def _message(self, message: Message) -> Message:
        role = message.get("role")
        if role in ("system", "developer"):
            shared: Message = self.value(message)
            return shared
        return {**message, "role": self.name(role)} if isinstance(role, str) else message


def without_texts(example: Example) -> Example:
    """The example without its request, its answer and what they cost: ids, split, times and outcome stay."""
    return msgspec.structs.replace(
        example,
        request=_NO_REQUEST,
        response=_NO_RESPONSE,
        usage=None,
        cost_usd=None,
        repeated=example.repeated or NO_LIST,
        logprobs=NO_LIST,
    )
