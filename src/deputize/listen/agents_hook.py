"""A tracing processor for the OpenAI Agents SDK that records its model calls and tool calls.

References:
    OpenAI Agents SDK documentation, "Tracing".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from deputize.core.errors import BadInput, MissingExtra
from deputize.core.records import Audience
from deputize.listen.returned_replies import plain, reply_of
from deputize.wire.events import Completion
from deputize.wire.registry import RESPONSES
from deputize.wire.responses_parser import usage_event

_ASKED = (
    "instructions",
    "tools",
    "tool_choice",
    "text",
    "model",
    "temperature",
    "top_p",
    "max_output_tokens",
)


class SpanRecorder:
    """The processor. Spans of responses, generations and functions become calls; those of one trace are one episode."""

    def __init__(self, record: Callable[..., None], site: str = "", audience: Audience = "unknown") -> None:
        self._record_call, self._site, self._audience = record, site, audience

    def on_trace_start(self, trace: Any) -> None:
        """Nothing: a trace is known by the id that its spans carry."""

    def on_trace_end(self, trace: Any) -> None:
        """Nothing."""

    def on_span_start(self, span: Any) -> None:
        """Nothing: a span holds what was asked only at its end."""

    def on_span_end(self, span: Any) -> None:
        """Records a span of a model or a tool."""
        data = span.span_data
        fields: dict[str, Any] | None = None
        if data.type == "response":
            fields = _response(data)
        elif data.type == "generation":
            fields = _generation(data)
        elif data.type == "function":
            fields = _function(data)
        if fields is None:
            return
        status = 500 if span.error else 200
        site = fields.pop("site", "") or self._site
        audience = fields.pop("audience", self._audience)
        self._record_call(
            ms=_milliseconds(span),
            episode=span.trace_id,
            site=site,
            audience=audience,
            status=status,
            **fields,
        )

    def shutdown(self) -> None:
        """Nothing is kept back."""

    def force_flush(self) -> None:
        """Nothing is kept back."""


def agents_processor(record: Callable[..., None], site: str, audience: Audience) -> Any:
    """A tracing processor that records by `Listener.record`.

    Raises:
        MissingExtra: openai-agents is not installed.
    """
    try:
        from agents.tracing import TracingProcessor
    except ImportError:
        raise MissingExtra.package("openai-agents", "agents") from None
    return type("DeputizeTracingProcessor", (SpanRecorder, TracingProcessor), {})(record, site, audience)


def _response(data: Any) -> dict[str, Any] | None:
    """A call of the responses protocol; what it was asked with is read from the response, which repeats it."""
    if data.input is None:
        return None  # tracing is told to hold nothing of what is said
    told = plain(data.response) if data.response is not None else {}
    asked = {name: told[name] for name in _ASKED if told.get(name) is not None}
    try:
        chat = RESPONSES.to_chat({**asked, "input": data.input})
    except BadInput:
        return None
    reply = RESPONSES.parse_reply(told) if told else Completion({}, "")
    params = {k: v for k, v in RESPONSES.params(asked).items() if k != "text"}
    return {
        "messages": chat["messages"],
        "tools": chat.get("tools"),
        "tool_choice": chat.get("tool_choice"),
        "response_format": chat.get("response_format"),
        "model": str(told.get("model") or ""),
        "params": params,
        "response": reply.message,
        "usage": reply.usage,
        "finish_reason": reply.finish_reason,
        "protocol": "responses",
    }


def _generation(data: Any) -> dict[str, Any] | None:
    """A call of chat completions. Its trace does not name the tools that were offered, so a reply that calls some is
    recorded as not whole."""
    if data.input is None:
        return None
    given = [plain(one) for one in data.output or ()]
    reply = reply_of(given[0]) if given else Completion({}, "")
    message = {k: v for k, v in reply.message.items() if v is not None}
    if message.get("tool_calls"):
        message["not_recorded"] = ["tools"]
    config: Mapping[str, Any] = data.model_config or {}
    counts = usage_event(data.usage).usage() if data.usage else None
    return {
        "messages": [plain(one) for one in data.input],
        "model": str(data.model or ""),
        "params": {k: config[k] for k in ("temperature", "top_p", "max_tokens") if config.get(k) is not None},
        "response": message,
        "usage": counts or reply.usage,
        "finish_reason": reply.finish_reason or ("tool_calls" if message.get("tool_calls") else "stop"),
        "protocol": "chat",
    }


def _function(data: Any) -> dict[str, Any]:
    """A call of a tool."""
    arguments: Any = data.input or {}
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except (ValueError, RecursionError):
            arguments = {"input": arguments}
    content = (
        data.output if isinstance(data.output, str | int | float | dict | list) else str(data.output or "")
    )
    return {
        "site": data.name,
        "audience": "code",
        "protocol": "tool",
        "messages": [{"role": "tool_call", "name": data.name, "arguments": arguments}],
        "response": {"role": "tool", "name": data.name, "content": content},
    }


def _milliseconds(span: Any) -> float:
    try:
        began, ended = datetime.fromisoformat(span.started_at), datetime.fromisoformat(span.ended_at)
    except (TypeError, ValueError):
        return 0.0
    return max(0.0, (ended - began).total_seconds() * 1000)
