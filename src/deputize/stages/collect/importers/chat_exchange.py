"""A call from a chat request and its response, for importers of formats that hold the two in OpenAI's chat form."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from deputize.core.records import Audience, Call, Message, Outcome, Usage
from deputize.stages.collect.importers.base import ImportContext
from deputize.wire.json_fields import integer, mapping

_ROLES = frozenset({"system", "developer", "user", "assistant", "tool", "function"})
# the fields under which logs keep a thing, in the order in which they are looked up
_EPISODE = ("episode", "run_id", "episode_id", "session_id", "conversation_id", "thread_id", "trace_id")
_TASK = ("task_id", "group")
_ORIGIN = ("origin", "user", "user_id", "end_user", "safety_identifier", "customer_id")
_TIME = ("timestamp", "created_at", "created", "time", "start_time")
_REQUEST_FIELDS = frozenset(
    {
        "messages",
        "tools",
        "functions",
        "response_format",
        "tool_choice",
        "function_call",
        "model",
        *_ORIGIN,
        "metadata",
    }
)
_NEVER_STORED = frozenset(
    {
        "user",
        "safety_identifier",
        "prompt_cache_key",
        "metadata",
        "headers",
        "extra_headers",
        "default_headers",
        "authorization",
        "api_key",
    }
)
"""Request fields that name a person or hold credentials."""


class Unreadable(Exception):
    """The reason why an object is no call; the text never holds anything of the object."""


def call_from_chat(
    row: dict[str, Any], request: dict[str, Any], response: Any, context: ImportContext
) -> Call:
    """The call of one object of a log.

    Args:
        row: the object; ids, episode, step, outcome, times and costs are looked up in it.
        request: the chat request in it, or the object itself where the request's fields stand in it.
        response: text, an assistant message, a chat completion, or one of these under "body".
        context: where the object stands.

    Raises:
        Unreadable: request or response are not of that form.
    """
    message, envelope = _reply(response)
    raw_metadata = request.get("metadata") or row.get("metadata")
    metadata = mapping(raw_metadata) or {}
    places = (row, request, metadata)
    name = _text(places[:1], ("agent", "agent_name", "app")) or context.agent
    episode = _text(places, _EPISODE)
    task = _text((row, metadata), _TASK)
    tenant = _text((row, metadata), ("tenant",)) or "default"
    origin = _text(places, _ORIGIN)
    return Call(
        id=_text((row,), ("id", "call_id", "request_id")),
        messages=[_message(m) for m in _messages(request)],
        response=message,
        episode=episode,
        group=f"{name}:{task}" if task else episode,
        step=integer(row.get("step")) or 0,
        agent=name,
        site=_text((row, metadata), ("site",)),
        model=_text((row, request, envelope), ("model",)),
        tools=_tools(request),
        response_format=mapping(request.get("response_format")),
        tool_choice=request.get("tool_choice"),
        params=_params(row, request),
        audience=_audience(row),
        origin=context.pseudonym(origin, tenant) if origin else "",
        tenant=tenant,
        outcome=_outcome(row.get("outcome")),
        usage=_usage(row.get("usage") or envelope.get("usage")),
        cost_usd=_float(row.get("cost_usd")),
        latency_ms=_latency_ms(row),
        ttft_ms=_float(row.get("ttft_ms")),
        timestamp=_timestamp((row, envelope)),
        status=_status(row.get("status")),
        finish_reason=_text((row, envelope), ("finish_reason",)),
        logprobs=envelope.get("logprobs"),
        source=_text((row,), ("source",)),
    )


def _reply(response: Any) -> tuple[Message, dict[str, Any]]:
    """The assistant message of a response in any form, and the fields around it. Raises Unreadable."""
    if isinstance(response, str):
        return {"role": "assistant", "content": response}, {}
    if not isinstance(response, dict):
        raise Unreadable("the response is not an object")
    if isinstance(response.get("body"), dict):
        response = response["body"]
    envelope: dict[str, Any] = {}
    if "choices" in response:
        choices = response["choices"]
        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, dict) or not isinstance(choice.get("message"), dict):
            raise Unreadable("the response holds no choice with a message")
        envelope = {k: v for k, v in response.items() if k != "choices"}
        envelope |= {k: v for k, v in choice.items() if k != "message"}
        response = choice["message"]
    elif "error" in response and "content" not in response:
        raise Unreadable("the response is an error")
    message = _message({"role": "assistant", **response})
    if message["role"] != "assistant":
        raise Unreadable("the response is not an assistant message")
    if "content" not in message and not message.get("tool_calls") and not message.get("refusal"):
        raise Unreadable("the response has neither content nor tool calls")
    return message, envelope


def _messages(request: dict[str, Any]) -> list[dict[str, Any]]:
    messages = request.get("messages")
    if not isinstance(messages, list) or not messages:
        raise Unreadable("messages is not a list with at least one message")
    return messages


def _message(raw: Any) -> Message:
    """A message as it is, with the retired function_call in the place of today's tool_calls. Raises Unreadable."""
    role = raw.get("role") if isinstance(raw, dict) else None
    if not isinstance(raw, dict) or not isinstance(role, str) or role not in _ROLES:
        raise Unreadable("a message without a known role")
    if not isinstance(raw.get("content"), str | list | None):
        raise Unreadable("a message whose content is neither text nor a list of parts")
    calls = raw.get("tool_calls")
    if calls is not None and not (isinstance(calls, list) and all(isinstance(c, dict) for c in calls)):
        raise Unreadable("a message whose tool_calls are not a list of objects")
    old = raw.get("function_call")
    if not isinstance(old, dict):
        return raw
    rest = {k: v for k, v in raw.items() if k != "function_call"}
    return {**rest, "tool_calls": [*(calls or ()), {"id": "call_0", "type": "function", "function": old}]}


def _tools(request: dict[str, Any]) -> list[dict[str, Any]] | None:
    tools = request.get("tools")
    if tools is None and isinstance(request.get("functions"), list):
        tools = [{"type": "function", "function": f} for f in request["functions"]]
    if not tools:
        return None
    if not isinstance(tools, list) or not all(isinstance(t, dict) for t in tools):
        raise Unreadable("tools is not a list of objects")
    return tools


def _params(row: dict[str, Any], request: dict[str, Any]) -> dict[str, Any]:
    """Sampling settings, without those that name a person. Other columns of a log are not settings."""
    if isinstance(row.get("params"), dict):
        given = row["params"]
    elif "request" in row:
        given = {k: v for k, v in request.items() if k not in _REQUEST_FIELDS}
    else:
        given = {
            k: row[k]
            for k in ("temperature", "top_p", "max_tokens", "seed", "stop")
            if row.get(k) is not None
        }
    return {k: v for k, v in given.items() if k.lower().replace("-", "_") not in _NEVER_STORED}


def _audience(row: dict[str, Any]) -> Audience:
    given = row.get("audience")
    return given if given in ("human", "code") else "unknown"


def _outcome(raw: Any) -> Outcome | None:
    """The outcome, with `kind` ("gold", "gold label") kept where there is no metric."""
    if isinstance(raw, bool):
        return Outcome(success=raw)
    if not isinstance(raw, dict):
        return None
    success = raw.get("success")
    metric = raw.get("metric") or raw.get("kind") or ""
    return Outcome(
        reward=_float(raw.get("reward")),
        success=success if isinstance(success, bool) else None,
        metric=metric if isinstance(metric, str) else "",
    )


def _usage(raw: Any) -> Usage | None:
    if not isinstance(raw, dict):
        return None
    prompt = integer(raw.get("prompt_tokens", raw.get("input_tokens"))) or 0
    completion = integer(raw.get("completion_tokens", raw.get("output_tokens"))) or 0
    return Usage(prompt_tokens=prompt, completion_tokens=completion) if prompt or completion else None


def _status(value: Any) -> int:
    status = integer(value)
    return 200 if status is None else status


def _latency_ms(row: dict[str, Any]) -> float | None:
    if (ms := _float(row.get("latency_ms"))) is not None:
        return ms
    seconds = _float(row.get("latency_s"))
    return None if seconds is None else round(seconds * 1000, 3)


def _timestamp(places: Iterable[dict[str, Any]]) -> float | None:
    """Unix seconds: from a number (a large one is in milliseconds) or an ISO 8601 string."""
    for place in places:
        for key in _TIME:
            value = place.get(key)
            if (number := _float(value)) is not None and number > 0:
                return number / 1000 if number > 1e11 else number
            if isinstance(value, str) and value:
                try:
                    moment = datetime.fromisoformat(value)
                except ValueError:
                    continue
                return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    return None


def _text(places: Iterable[dict[str, Any]], keys: Iterable[str]) -> str:
    """The first non-empty text or number under any of the keys, as text."""
    wanted = tuple(keys)
    for place in places:
        for key in wanted:
            value = place.get(key)
            if isinstance(value, str) and value:
                return value
            if isinstance(value, int | float) and not isinstance(value, bool):
                return str(value)
    return ""


def _float(value: Any) -> float | None:
    """A finite number as float, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > 1e300 or value != value:
        return None
    return float(value)
