"""Public fakes and contract checks, for our tests and for whoever writes a store, an engine, a training method or an
importer.

Nothing here is a mock: the upstream really listens, the clock really is a clock that is moved by hand.
"""

from __future__ import annotations

import json
from typing import Any

from deputize.core.records import Call, Message
from deputize.testing.check_detector import check_detector, check_spans
from deputize.testing.check_engine import check_engine
from deputize.testing.check_importer import check_importer
from deputize.testing.check_key_provider import check_key_provider
from deputize.testing.check_method import check_method
from deputize.testing.check_predictor import check_predictor
from deputize.testing.check_store import check_store
from deputize.testing.scripted_llm import (
    INSTANT,
    Latency,
    Script,
    ScriptedUpstream,
    ScriptError,
    in_thread,
    running,
)

__all__ = [
    "INSTANT",
    "Latency",
    "ManualClock",
    "ScriptError",
    "ScriptedUpstream",
    "always",
    "call",
    "calling",
    "check_detector",
    "check_engine",
    "check_importer",
    "check_key_provider",
    "check_method",
    "check_predictor",
    "check_spans",
    "check_store",
    "failing",
    "in_thread",
    "running",
]


class ManualClock:
    """A clock that stands still until it is moved. Call it for the time in seconds."""

    def __init__(self, now: float = 1_700_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Move it forward.

        Raises:
            ValueError: backward.
        """
        if seconds < 0:
            raise ValueError("a clock does not go backward")
        self.now += seconds


def always(text: str) -> Script:
    """A script that gives the same text to every request."""
    return lambda body: {"role": "assistant", "content": text}


def calling(name: str, **arguments: Any) -> Script:
    """A script that calls the same tool at every request."""
    function = {"name": name, "arguments": json.dumps(arguments)}
    calls = [{"id": "call_0", "type": "function", "function": function}]
    return lambda body: {"role": "assistant", "content": None, "tool_calls": calls}


def failing(status: int, message: str = "the scripted upstream was told to fail") -> Script:
    """A script that answers every request with an error."""

    def script(body: dict[str, Any]) -> Message:
        raise ScriptError(status, message)

    return script


def call(id: str, text: str = "hello", reply: str = "world", **fields: Any) -> Call:
    """A small call, for filling stores."""
    return Call(
        id=id,
        messages=[{"role": "user", "content": text}],
        response={"role": "assistant", "content": reply},
        **fields,
    )
