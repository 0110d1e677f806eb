"""Dialects of OpenTelemetry attributes: where each keeps the messages, tools and settings of an LLM call."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from deputize.stages.collect.importers.declared_settings import schema_format, tool_choice
from deputize.stages.collect.importers.embedded_json import objects, structured
from deputize.stages.collect.importers.message_formats import collapsed, read_messages
from deputize.stages.collect.importers.otel_attributes import flattened, nested
from deputize.wire.json_fields import mapping

_LLM_OPERATIONS = frozenset(
    {"chat", "generate_content", "text_completion", "completion", "responses", "message"}
)
_SESSIONS = (
    "gen_ai.conversation.id",
    "session.id",
    "langfuse.session.id",
    "traceloop.association.properties.session_id",
    "traceloop.association.properties.thread_id",
    "traceloop.association.properties.conversation_id",
    "ai.telemetry.metadata.sessionId",
    "ai.telemetry.metadata.session_id",
    "ai.telemetry.metadata.threadId",
    "ai.telemetry.metadata.chatId",
    "langsmith.trace.session_id",
    "thread.id",
)
_SETTINGS = {
    "temperature": "temperature",
    "top_p": "top_p",
    "top_k": "top_k",
    "max_tokens": "max_tokens",
    "stop_sequences": "stop",
    "seed": "seed",
    "frequency_penalty": "frequency_penalty",
    "presence_penalty": "presence_penalty",
}


@dataclass(frozen=True, slots=True)
class SpanCall:
    """An LLM call as the attributes of a span describe it."""

    request: Any
    response: Any
    tools: Any = None
    model: str = ""
    finish_reason: str = ""
    params: dict[str, Any] = field(default_factory=dict)


def session_of(attributes: dict[str, Any]) -> str:
    """The conversation that a span belongs to; "" where its attributes do not say."""
    return next(
        (str(attributes[k]) for k in _SESSIONS if isinstance(attributes.get(k), str | int) and attributes[k]),
        "",
    )


def is_llm_span(attributes: dict[str, Any]) -> bool:
    """Check whether a span is that of an LLM call, whether or not it holds the messages."""
    operation = attributes.get("gen_ai.operation.name")
    if isinstance(operation, str):
        return operation in _LLM_OPERATIONS
    kind = attributes.get("llm.request.type")
    return kind in ("chat", "completion") or (
        "gen_ai.request.model" in attributes and not any(k.startswith("gen_ai.tool.") for k in attributes)
    )


def read_attributes(row: dict[str, Any], attributes: dict[str, Any]) -> SpanCall | str | None:
    """The call in the attributes of a span.

    Returns:
        The call; or the reason why the span is no LLM call; or None where its attributes hold no messages.
    """
    if any(k in attributes for k in ("llm", "input", "openinference")):
        attributes = {
            **attributes,
            **flattened(attributes, "llm"),
            **flattened(attributes, "input"),
            **flattened(attributes, "output"),
        }
        attributes |= flattened(attributes, "openinference")
    operation = attributes.get("ai.operationId")
    if isinstance(operation, str):
        return _vercel(operation, attributes)
    kind = attributes.get("openinference.span.kind") or row.get("span_kind")
    if isinstance(kind, str) and (kind.upper() in _OPENINFERENCE_KINDS):
        return _openinference(attributes) if kind.upper() == "LLM" else "a span that is no LLM call"
    if "gen_ai.input.messages" in attributes or "gen_ai.output.messages" in attributes:
        name = attributes.get("gen_ai.operation.name")
        if isinstance(name, str) and name not in _LLM_OPERATIONS:
            return "a span that is no LLM call"
        return _genai(attributes)
    prompt = nested(attributes, "gen_ai.prompt")
    if prompt is not None:
        return _openllmetry(attributes, prompt)
    return None


_OPENINFERENCE_KINDS = frozenset(
    {
        "LLM",
        "CHAIN",
        "TOOL",
        "AGENT",
        "RETRIEVER",
        "EMBEDDING",
        "RERANKER",
        "GUARDRAIL",
        "EVALUATOR",
        "PROMPT",
        "UNKNOWN",
    }
)


def _text(attributes: dict[str, Any], *names: str) -> str:
    return next((attributes[n] for n in names if isinstance(attributes.get(n), str) and attributes[n]), "")


def _settings(attributes: dict[str, Any]) -> dict[str, Any]:
    start = "gen_ai.request."
    return {
        name: attributes[start + k] for k, name in _SETTINGS.items() if attributes.get(start + k) is not None
    }


def _model(attributes: dict[str, Any]) -> str:
    return _text(
        attributes, "gen_ai.response.model", "gen_ai.request.model", "llm.model_name", "llm.request.model"
    )


def _reason(attributes: dict[str, Any], response: Any) -> str:
    last = response[-1] if isinstance(response, list) and response else response
    reason = last.get("finish_reason") if isinstance(last, dict) else None
    if not reason:
        reasons = structured(attributes.get("gen_ai.response.finish_reasons"))
        reason = reasons[0] if isinstance(reasons, list) and reasons else None
    reason = {"tool_call": "tool_calls", "tool-calls": "tool_calls", "end_turn": "stop"}.get(
        str(reason), reason
    )
    return reason if isinstance(reason, str) else ""


def _answer_schema(attributes: dict[str, Any]) -> dict[str, Any] | None:
    """The answer format under the names of OpenLLMetry, now and before."""
    names = ("gen_ai.request.structured_output_schema", "llm.request.structured_output_schema")
    return next((f for k in names if (f := schema_format(attributes.get(k))) is not None), None)


def _genai(attributes: dict[str, Any]) -> SpanCall:
    """Semantic conventions from 1.37 on."""
    response = structured(attributes.get("gen_ai.output.messages"))
    messages = read_messages(
        attributes.get("gen_ai.input.messages"), attributes.get("gen_ai.system_instructions")
    )
    request: dict[str, Any] = {"messages": messages}
    asked = mapping(structured(attributes.get("model_request_parameters"))) or {}  # pydantic-ai
    wanted = mapping(asked.get("output_object")) or {}
    answer = schema_format(wanted.get("json_schema"), str(wanted.get("name") or "answer"))
    answer = answer or _answer_schema(attributes)
    if answer is None and attributes.get("gen_ai.output.type") == "json":
        answer = {"type": "json_object"}
    if answer is not None:
        request["response_format"] = answer
    tools = attributes.get("gen_ai.tool.definitions")
    if not tools:
        declared = [t for k in ("function_tools", "output_tools") for t in objects(asked.get(k))]
        tools = [{**t, "parameters": t.get("parameters_json_schema")} for t in declared] or None
    return SpanCall(
        request,
        response,
        tools,
        _model(attributes),
        _reason(attributes, response),
        _settings(attributes),
    )


def _openllmetry(attributes: dict[str, Any], prompt: Any) -> SpanCall | str:
    """OpenLLMetry before 0.50: one attribute for each field of each message."""
    if attributes.get("llm.request.type") in ("embedding", "rerank"):
        return "an embedding or ranking, not a chat call"
    functions = nested(attributes, "llm.request.functions")
    tools = (
        [
            {**f, "parameters": structured(f.get("parameters") or f.get("input_schema"))}
            for f in functions
            if isinstance(f, dict)
        ]
        if isinstance(functions, list)
        else None
    )
    response = nested(attributes, "gen_ai.completion")
    if isinstance(response, list):
        response = [
            {"role": "assistant", **{k: v for k, v in m.items() if k != "finish_reason"}}
            for m in response[:1]
            if isinstance(m, dict)
        ]
        response = response[0] if response else None
    first = nested(attributes, "gen_ai.completion")
    request: dict[str, Any] = {"messages": prompt if isinstance(prompt, list) else [prompt]}
    answer = _answer_schema(attributes)
    if answer is not None:
        request["response_format"] = answer
    return SpanCall(
        request, response, tools, _model(attributes), _reason(attributes, first), _settings(attributes)
    )


_VERCEL_SETTINGS = {
    "temperature": "temperature",
    "maxTokens": "max_tokens",
    "maxOutputTokens": "max_tokens",
    "topP": "top_p",
    "topK": "top_k",
    "seed": "seed",
    "frequencyPenalty": "frequency_penalty",
    "presencePenalty": "presence_penalty",
    "stopSequences": "stop",
}


def schema_of_object(attributes: dict[str, Any]) -> dict[str, Any] | None:
    """The answer format on the outer span of an object that Vercel's SDK asked for; None on any other span."""
    operation = attributes.get("ai.operationId")
    is_outer = operation in ("ai.generateObject", "ai.streamObject")
    return schema_format(attributes.get("ai.schema"), "response") if is_outer else None


def lacks_schema(attributes: dict[str, Any]) -> bool:
    """Check for the inner span of such an object, whose schema is on the outer one."""
    operation = attributes.get("ai.operationId")
    return isinstance(operation, str) and "Object.do" in operation and "ai.schema" not in attributes


def _vercel(operation: str, attributes: dict[str, Any]) -> SpanCall | str:
    """The AI SDK: the inner span of an operation is the call, the outer one says the same again."""
    if not operation.endswith((".doGenerate", ".doStream")):
        return "a span that is no LLM call"
    tools = structured(attributes.get("ai.prompt.tools"))
    calls = structured(attributes.get("ai.response.toolCalls"))
    text = _text(attributes, "ai.response.text", "ai.response.object", "ai.result.text", "ai.result.object")
    message: dict[str, Any] | None = {"role": "assistant", "content": text or None}
    if isinstance(calls, list) and calls:
        message = {"role": "assistant", "content": text or None, "tool_calls": calls}
    elif not text:
        message = None
    reason = {"tool-calls": "tool_calls"}.get(
        _text(attributes, "ai.response.finishReason"), _text(attributes, "ai.response.finishReason")
    )
    model = _text(
        attributes, "ai.response.model", "gen_ai.response.model", "ai.model.id", "gen_ai.request.model"
    )
    settings = {
        name: attributes[f"ai.settings.{k}"]
        for k, name in _VERCEL_SETTINGS.items()
        if attributes.get(f"ai.settings.{k}") is not None
    }
    request: dict[str, Any] = {}
    if "Object" in operation:  # the schema stands on the outer span
        request["response_format"] = schema_format(attributes.get("ai.schema")) or {"type": "json_object"}
    choice = tool_choice(attributes.get("ai.prompt.toolChoice"))
    if choice is not None:
        request["tool_choice"] = choice
    prompt = collapsed(read_messages(attributes.get("ai.prompt.messages") or attributes.get("ai.prompt")))
    request["messages"] = prompt
    return SpanCall(request, message, tools, model, reason, {**_settings(attributes), **settings})


def _openinference(attributes: dict[str, Any]) -> SpanCall:
    """OpenInference (Phoenix): messages as attributes with numbers, else the request and response as JSON."""
    asked, said = nested(attributes, "llm.input_messages"), nested(attributes, "llm.output_messages")
    settings = mapping(structured(attributes.get("llm.invocation_parameters"))) or {}
    raw_request, raw_response = (
        structured(attributes.get("input.value")),
        structured(attributes.get("output.value")),
    )
    declared = nested(attributes, "llm.tools")
    tools = (
        [structured(_tool_schema(t)) for t in declared]
        if isinstance(declared, list)
        else settings.get("tools")
    )
    if tools is None and isinstance(raw_request, dict):
        tools = raw_request.get("tools")
    request: Any = (
        {"messages": [_dotted(m) for m in asked]} if isinstance(asked, list) and asked else raw_request
    )
    if isinstance(request, dict) and isinstance(raw_request, dict) and "response_format" in raw_request:
        request = {**request, "response_format": raw_request["response_format"]}
    response: Any = (
        _dotted(said[0])
        if isinstance(said, list) and said
        else raw_response
        if raw_response is not None
        else attributes.get("output.value")
    )
    kept = {k: v for k, v in settings.items() if k not in ("tools", "model", "functions", "messages")}
    reason = ""
    if (
        isinstance(raw_response, dict)
        and isinstance(raw_response.get("choices"), list)
        and raw_response["choices"]
    ):
        reason = str((mapping(raw_response["choices"][0]) or {}).get("finish_reason") or "")
    return SpanCall(request, response, tools, _model(attributes), reason, kept)


def _tool_schema(tool: Any) -> Any:
    held = structured(tool)
    if isinstance(held, dict):
        inner = mapping(held.get("tool"))
        return (
            held.get("tool.json_schema") or (inner.get("json_schema") if inner is not None else None) or held
        )
    return held


def _dotted(message: Any) -> dict[str, Any]:
    """A message whose fields are `message.role` and the like, or stand under `message`."""
    held = mapping(structured(message)) or {}
    held = mapping(held.get("message")) or {k.removeprefix("message."): v for k, v in held.items()}
    out = dict(held)
    contents = out.pop("contents", None)
    if contents is not None and out.get("content") is None:
        parts = [mapping(c) or {} for c in contents] if isinstance(contents, list) else []
        out["content"] = [
            mapping(p.get("message_content")) or {k.removeprefix("message_content."): v for k, v in p.items()}
            for p in parts
        ]
    calls = structured(out.get("tool_calls"))
    if isinstance(calls, list):
        out["tool_calls"] = [_dotted_call(c) for c in calls]
    return out


def _dotted_call(raw: Any) -> dict[str, Any]:
    held = mapping(structured(raw)) or {}
    held = mapping(held.get("tool_call")) or {k.removeprefix("tool_call."): v for k, v in held.items()}
    if isinstance(held.get("function"), dict):
        return held
    function = {k.removeprefix("function."): v for k, v in held.items() if k.startswith("function.")}
    return {"id": held.get("id"), "function": function}


def read_events(events: Sequence[tuple[str, dict[str, Any]]], attributes: dict[str, Any]) -> SpanCall | str:
    """The call that events describe (semantic conventions 1.28 to 1.36): one event a message, one a choice."""
    messages: list[dict[str, Any]] = []
    choice: dict[str, Any] | None = None
    for name, body in events:
        if name == "gen_ai.choice":
            if choice is None or body.get("index") in (0, "0"):
                choice = body
        elif name in ("gen_ai.content.prompt", "gen_ai.content.completion"):
            text = structured(
                body.get("gen_ai.prompt")
                or body.get("gen_ai.completion")
                or body.get("prompt")
                or body.get("completion")
            )
            found = (
                text if isinstance(text, list) else [text] if isinstance(text, dict) else [{"content": text}]
            )
            if name.endswith("prompt"):
                messages += [{"role": "user", **m} for m in found if isinstance(m, dict)]
            elif found:
                choice = {"message": found[0]}
        elif name.endswith(".message"):
            role = name.removeprefix("gen_ai.").removesuffix(".message")
            messages.append({"role": role, **body})
    if choice is None:
        return "the events of a call without its answer"
    if not messages:
        return "the events of a call without its prompt"
    held = mapping(choice.get("message")) or {
        k: v for k, v in choice.items() if k not in ("index", "finish_reason")
    }
    reason = choice.get("finish_reason")
    tools = attributes.get("gen_ai.tool.definitions")
    return SpanCall(
        {"messages": messages},
        {"role": "assistant", **held},
        tools,
        _model(attributes),
        reason if isinstance(reason, str) else "",
        _settings(attributes),
    )
