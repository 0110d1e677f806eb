"""What is told of one call to OpenTelemetry, in the names of its conventions for generative AI.

References:
    OpenTelemetry semantic conventions, "Generative AI": spans and metrics.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec

from deputize.core.records import Call, Decision, Message, Usage
from deputize.gateway.trace_context import TraceContext

_OPERATIONS = {"embeddings": "embeddings", "completions": "text_completion"}
_PARAMS = ("temperature", "top_p", "max_tokens", "seed", "frequency_penalty", "presence_penalty")
_LLM = Decision()


class Content(msgspec.Struct, frozen=True, array_like=True):
    """Texts and names of a call, where they are wanted."""

    messages: list[Message]
    response: Message
    agent: str
    episode: str


class SpanRecord(msgspec.Struct, frozen=True, array_like=True, kw_only=True):
    """One call, as it travels to the process that exports its span."""

    trace_id: str
    """"" for a call whose trace is not sampled: it is in the metrics only."""
    span_id: str
    parent_id: str
    start_s: float
    """Unix seconds."""
    latency_ms: float
    ttft_ms: float | None
    call_id: str
    protocol: str
    model: str
    upstream: str
    tenant: str
    status: int
    aborted: bool
    finish_reason: str
    response_id: str
    usage: Usage | None
    params: dict[str, float]
    decision: Decision
    task: str
    content: Content | None = None


class Server(msgspec.Struct, frozen=True):
    """An upstream, as spans name it."""

    provider: str
    address: str
    port: int


def record_of(call: Call, context: TraceContext, *, task: str, with_content: bool) -> SpanRecord:
    """The record of a call."""
    params = {name: call.params[name] for name in _PARAMS if type(call.params.get(name)) in (int, float)}
    content = Content(call.messages, call.response, call.agent, call.episode) if with_content else None
    return SpanRecord(
        trace_id=context.trace_id if context.sampled else "",
        span_id=context.span_id,
        parent_id=context.parent_id,
        start_s=call.timestamp or 0.0,
        latency_ms=call.latency_ms or 0.0,
        ttft_ms=call.ttft_ms,
        call_id=call.id,
        protocol=call.protocol,
        model=call.model,
        upstream=call.upstream,
        tenant=call.tenant,
        status=call.status,
        aborted=call.aborted,
        finish_reason=call.finish_reason,
        response_id=call.response_id,
        usage=call.usage,
        params=params,
        decision=call.decision or _LLM,
        task=task,
        content=content,
    )


def attributes_of(record: SpanRecord, server: Server | None) -> dict[str, Any]:
    """The attributes of a call's span: nothing of prompt or answer, and no name that a caller gave but the model's,
    unless the record holds content.

    Args:
        server: the upstream that answered; None where a specialist did, or none was reached.
    """
    decision, usage, content = record.decision, record.usage, record.content
    found: dict[str, Any] = {
        "gen_ai.operation.name": _OPERATIONS.get(record.protocol, "chat"),
        "gen_ai.provider.name": server.provider if server is not None else "deputize",
        "gen_ai.request.model": record.model,
        "gen_ai.response.finish_reasons": [record.finish_reason] if record.finish_reason else None,
        "gen_ai.response.id": record.response_id,
        "gen_ai.response.time_to_first_chunk": None if record.ttft_ms is None else record.ttft_ms / 1e3,
        "server.address": server.address if server is not None else "",
        "server.port": server.port if server is not None else None,
        "deputize.call.id": record.call_id,
        "deputize.served_by": decision.served_by,
        "deputize.decision.reason": decision.reason,
        "deputize.route.id": decision.route_id,
        "deputize.task": record.task,
        "deputize.certificate.id": decision.certificate_id,
        "deputize.confidence": decision.confidence,
        "deputize.upstream": record.upstream,
        "deputize.tenant": record.tenant,
        "http.response.status_code": record.status,
        "error.type": error_type(record),
    }
    found |= {f"gen_ai.request.{name}": value for name, value in record.params.items()}
    if usage is not None:
        found |= {
            "gen_ai.usage.input_tokens": usage.prompt_tokens,
            "gen_ai.usage.output_tokens": usage.completion_tokens,
            "gen_ai.usage.cache_read.input_tokens": usage.cached_tokens or None,
            "gen_ai.usage.cache_creation.input_tokens": usage.cache_write_tokens or None,
            "gen_ai.usage.reasoning.output_tokens": usage.reasoning_tokens or None,
        }
    if content is not None:
        found |= {
            "gen_ai.agent.name": content.agent,
            "gen_ai.conversation.id": content.episode,
            "gen_ai.input.messages": _messages(content.messages),
            "gen_ai.output.messages": _messages([content.response], record.finish_reason)
            if content.response
            else "",
        }
    return {name: value for name, value in found.items() if value is not None and value != ""}


def error_type(record: SpanRecord) -> str:
    """The kind of a call's failure; "" where it succeeded."""
    if record.status >= 400:
        return str(record.status)
    return "cut" if record.aborted else ""


def _messages(messages: list[Message], finish_reason: str = "") -> str:
    """Messages in the form that the conventions give them."""
    shown = []
    for message in messages:
        role, content = message.get("role", "assistant"), message.get("content")
        parts: list[dict[str, Any]] = []
        if role == "tool":
            parts.append(
                {"type": "tool_call_response", "id": message.get("tool_call_id"), "response": content}
            )
        elif content:
            parts.append(
                {"type": "text", "content": content if isinstance(content, str) else json.dumps(content)}
            )
        for called in message.get("tool_calls") or ():
            function = called.get("function") or {}
            parts.append(
                {
                    "type": "tool_call",
                    "id": called.get("id"),
                    "name": function.get("name"),
                    "arguments": function.get("arguments"),
                }
            )
        shown.append(
            {"role": role, "parts": parts} | ({"finish_reason": finish_reason} if finish_reason else {})
        )
    return json.dumps(shown, ensure_ascii=False)
