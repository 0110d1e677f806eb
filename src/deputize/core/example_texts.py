"""Examples without their texts, for what only counts them, and the calls behind them."""

from __future__ import annotations

from sys import intern
from typing import Any

import msgspec

from deputize.core.records import Example, Message, Request

_NO_REQUEST = Request(messages=[])
_NO_RESPONSE: Message = {}
_NO_LIST: list[Any] = []
"""Held once for all: nothing changes the parts of an example."""
_NAMES = ("site", "model", "tenant", "drop_reason", "episode", "group", "origin")
"""Of which many examples have equal ones; a record read from the disk has its own of each."""


def source_id(example: Example) -> str:
    """The call of the log that an example is, or was made from."""
    return example.made_from or example.call_id


def without_texts(example: Example) -> Example:
    """The example without its request and answer: ids, split, times and tokens stay."""
    shared: dict[str, Any] = {name: intern(getattr(example, name)) for name in _NAMES}
    if not example.repeated:
        shared["repeated"] = _NO_LIST
    return msgspec.structs.replace(
        example, request=_NO_REQUEST, response=_NO_RESPONSE, logprobs=_NO_LIST, **shared
    )
