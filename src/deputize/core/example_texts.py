"""Examples without their texts, for what only counts them, and the calls behind them."""

from __future__ import annotations

from sys import intern

import msgspec

from deputize.core.records import Example, Request

_NO_REQUEST = Request(messages=[])


def source_id(example: Example) -> str:
    """The call of the log that an example is, or was made from."""
    return example.made_from or example.call_id


def without_texts(example: Example) -> Example:
    """The example without its request and answer: ids, split, times and tokens stay."""
    # equal names once: a log has few of them, and a record read from the disk has its own of each
    names = {name: intern(getattr(example, name)) for name in ("site", "model", "tenant", "drop_reason")}
    return msgspec.structs.replace(example, request=_NO_REQUEST, response={}, logprobs=[], **names)
