"""Requests as logs keep them, of any protocol, read as what a recorded call keeps of a prompt."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from deputize.core.errors import BadInput
from deputize.core.records import Message
from deputize.stages.collect.importers import field_names as names
from deputize.stages.collect.importers.base import Unreadable
from deputize.stages.collect.importers.declared_settings import answer_format
from deputize.stages.collect.importers.embedded_json import structured
from deputize.stages.collect.importers.message_formats import (
    is_plain_message,
    read_messages,
    without_turn_fields,
)
from deputize.wire import converse_body, gemini_body, messages_request, responses_request, typed_decisions
from deputize.wire.json_fields import mapping

_CHAT_FIELDS = frozenset(
    {
        "messages",
        "tools",
        "functions",
        "response_format",
        "tool_choice",
        "function_call",
        "model",
        "system",
        *names.ORIGIN,
        "metadata",
    }
)

DECISION_PROTOCOLS = frozenset({"decisions", "systemone"})


@dataclass(frozen=True, slots=True)
class Prompt:
    """The part of a call that was sent."""

    messages: list[Message]
    tools: list[dict[str, Any]] | None = None
    response_format: dict[str, Any] | None = None
    tool_choice: Any = None
    params: dict[str, Any] = field(default_factory=dict)
    model: str = ""
    protocol: str = "chat"


def read_prompt(request: Any, reply: Any = None) -> Prompt:
    """The prompt of a request in any protocol.

    Args:
        request: a request body, a list of messages, or one text.
        reply: its answer, which tells some protocols apart.

    Raises:
        Unreadable: it holds no prompt that can be read.
    """
    request = structured(request)
    if not isinstance(request, dict):
        return Prompt(read_messages(request))
    if _is_plain_chat(request, reply):
        settings = {k: v for k, v in request.items() if k not in _CHAT_FIELDS}
        return _prompt(request, *_ollama(request, settings), "chat")
    protocol = protocol_of(request, reply)
    try:
        if protocol == "messages":
            chat = messages_request.to_chat({**request, "system": structured(request.get("system"))})
            return _prompt(request, chat, messages_request.params(request), protocol)
        if protocol == "gemini":
            return _prompt(request, gemini_body.to_chat(request), gemini_body.params(request), protocol)
        if protocol == "converse":
            return _prompt(request, converse_body.to_chat(request), converse_body.params(request), protocol)
        if protocol == "responses":
            return _responses_prompt(request)
        if protocol in DECISION_PROTOCOLS:
            chat = typed_decisions.to_chat(request)
            return _prompt(request, chat, typed_decisions.params(request), protocol)
    except BadInput:
        raise Unreadable("messages is not a list with at least one message") from None
    if protocol == "completion":
        return _completion_prompt(request)
    if protocol == "cohere":
        return _cohere_prompt(request)
    given = structured(request.get("messages"))
    messages = read_messages(given, request.get("system"))
    settings = {k: v for k, v in request.items() if k not in _CHAT_FIELDS}
    return _prompt(request, *_ollama({**request, "messages": messages}, settings), "chat")


_OLLAMA_OPTIONS = {"num_predict": "max_tokens"}


def _ollama(request: dict[str, Any], settings: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Request and settings with what Ollama calls `format` and `options` under the names of chat."""
    options, wanted = mapping(settings.get("options")), answer_format(settings.get("format"))
    if options is None and wanted is None:
        return request, settings
    kept = {k: v for k, v in settings.items() if k not in ("options", "format")}
    kept |= {_OLLAMA_OPTIONS.get(k, k): v for k, v in (options or {}).items()}
    return (
        {**request, "response_format": wanted} if wanted and not request.get("response_format") else request
    ), kept


def _cohere_prompt(request: dict[str, Any]) -> Prompt:
    """The prompt of Cohere's first chat protocol, which Bedrock has too: the last message stands apart from those
    before it."""
    history = request.get("chat_history") or request.get("chatHistory") or []
    turns = [{"role": t.get("role"), "content": t.get("message")} for t in history if isinstance(t, dict)]
    messages = read_messages(
        [*turns, {"role": "user", "content": request.get("message")}], request.get("preamble")
    )
    apart = (*_CHAT_FIELDS, "message", "chat_history", "chatHistory", "preamble")
    settings = {k: v for k, v in request.items() if k not in apart}
    return _prompt(request, {**request, "messages": messages, "tools": None}, settings, "chat")


_OTHER_MARKS = frozenset({"system", "anthropic_version", "toolConfig", "inferenceConfig", "contents"})


def _is_plain_chat(request: dict[str, Any], reply: Any) -> bool:
    """Check for the form that most logs have, so that nothing else is looked for in it."""
    messages = request.get("messages")
    if not isinstance(messages, list) or not messages or not _OTHER_MARKS.isdisjoint(request):
        return False
    if isinstance(reply, dict) and reply.get("type") == "message":
        return False
    tools = request.get("tools")
    if tools and not (isinstance(tools, list) and isinstance(tools[0], dict) and "function" in tools[0]):
        return False
    return all(isinstance(m, dict) and is_plain_message(m) for m in messages)


def protocol_of(request: Mapping[str, Any], reply: Any = None) -> str:
    """The protocol of a request body: chat, messages, responses, gemini, converse, completion, decisions or systemone;
    "" where it is none."""
    if "questions" in request and typed_decisions.is_request(request):
        return "systemone" if "state" in request else "decisions"
    if "contents" in request:
        return "gemini"
    if "messages" in request:
        messages = structured(request["messages"])
        if not isinstance(messages, list):
            return "chat"
        if "toolConfig" in request or "inferenceConfig" in request or converse_body.is_converse(messages):
            return "converse"
        return "messages" if _is_anthropic(request, messages, reply) else "chat"
    if "input" in request or "previous_response_id" in request:
        return "responses"
    if isinstance(request.get("message"), str) and request.keys() & {
        "chat_history",
        "chatHistory",
        "preamble",
    }:
        return "cohere"
    return "completion" if any(key in request for key in ("prompt", "inputText")) else ""


def _is_anthropic(request: Mapping[str, Any], messages: list[Any], reply: Any) -> bool:
    """Check whether a request with messages is Anthropic's."""
    roles = {str(m.get("role")) for m in messages if isinstance(m, dict)}
    if roles & {"tool", "function", "developer"} or any(
        isinstance(m, dict) and m.get("tool_calls") for m in messages
    ):
        return False
    if not roles <= {"user", "assistant", "system"}:
        return False
    tools = structured(request.get("tools"))
    if isinstance(tools, list) and any(isinstance(t, dict) and "input_schema" in t for t in tools):
        return True
    if "anthropic_version" in request or ("system" in request and "system" not in roles):
        return True
    if isinstance(reply, dict) and reply.get("type") == "message" and isinstance(reply.get("content"), list):
        return True
    for message in messages:
        content = message.get("content") if isinstance(message, dict) else None
        for block in content if isinstance(content, list) else ():
            if isinstance(block, dict) and block.get("type") in (
                "tool_use",
                "tool_result",
                "redacted_thinking",
            ):
                return True
    return False


def _prompt(request: dict[str, Any], chat: dict[str, Any], settings: dict[str, Any], protocol: str) -> Prompt:
    messages = [without_turn_fields(m) for m in chat["messages"] if m]
    model = request.get("model") or request.get("model_name") or chat.get("model")
    return Prompt(
        messages=messages,
        tools=read_tools(chat.get("tools") if chat.get("tools") is not None else chat.get("functions")),
        response_format=answer_format(chat.get("response_format")),
        tool_choice=chat.get("tool_choice"),
        params=stored_params(settings),
        model=model if isinstance(model, str) else "",
        protocol=protocol,
    )


def _responses_prompt(request: dict[str, Any]) -> Prompt:
    items = structured(request.get("input"))
    earlier = next((k for k in ("previous_response_id", "conversation") if request.get(k)), None)
    if earlier is not None and not _has_history(items):
        raise Unreadable(
            f"only what follows an earlier response: the conversation that {earlier} names is not in the log"
        )
    if isinstance(items, list) and any(
        isinstance(i, dict) and (i.get("tool_calls") or i.get("role") == "tool") for i in items
    ):
        messages = read_messages(items, request.get("instructions"))  # chat messages under another name
        return _prompt(request, {**request, "messages": messages}, responses_request.params(request), "chat")
    chat = responses_request.to_chat({**request, "input": items if items is not None else []})
    return _prompt(request, chat, responses_request.params(request), "responses")


def _has_history(items: Any) -> bool:
    return isinstance(items, list) and any(
        isinstance(i, dict) and (i.get("role") == "assistant" or i.get("type") == "function_call")
        for i in items
    )


def _completion_prompt(request: dict[str, Any]) -> Prompt:
    """The prompt of a text completion: OpenAI's, Llama's or Titan's."""
    raw = structured(request.get("prompt") if request.get("prompt") is not None else request.get("inputText"))
    if isinstance(raw, list) and len(raw) == 1 and isinstance(raw[0], str):
        raw = raw[0]
    system = next((request[k] for k in names.SYSTEMS if request.get(k)), None)
    messages = read_messages(raw, system)
    settings = {
        k: v for k, v in request.items() if k not in (*_CHAT_FIELDS, *names.SYSTEMS, "prompt", "inputText")
    }
    return _prompt(request, {**request, "messages": messages}, settings, "completion")


def read_tools(raw: Any) -> list[dict[str, Any]] | None:
    """Tool definitions of any protocol in OpenAI's form; None where there are none.

    Raises:
        Unreadable: they are no list of objects.
    """
    tools = structured(raw)
    if isinstance(tools, dict):
        tools = (
            tools.get("tools")
            if "tools" in tools
            else [
                {"name": k, **v} if isinstance(v := structured(d), dict) else {"name": k}
                for k, d in tools.items()
            ]
        )
    if not tools or tools in ("null", "None", "[]"):  # as tables write what is not there
        return None
    if not isinstance(tools, list):
        raise Unreadable("tools is not a list of objects")
    tools = [structured(t) for t in tools]
    if not all(isinstance(t, dict) for t in tools):
        raise Unreadable("tools is not a list of objects")
    return [_tool(t) for t in tools]


def _tool(raw: dict[str, Any]) -> dict[str, Any]:
    if isinstance(raw.get("function"), dict):
        return raw if raw.get("type") else {"type": "function", **raw}
    if raw.get("type") not in (None, "function", "custom", "tool", "object") or not isinstance(
        raw.get("name"), str
    ):
        spec = mapping(raw.get("toolSpec"))
        return (
            _tool({**spec, "parameters": (mapping(spec.get("inputSchema")) or {}).get("json")})
            if spec
            else raw
        )
    schema = next(
        (
            s
            for k in ("parameters", "input_schema", "inputSchema", "schema", "json_schema")
            if (s := structured(raw.get(k))) is not None
        ),
        None,
    )
    if isinstance(schema, dict) and isinstance(schema.get("jsonSchema"), dict):
        schema = schema["jsonSchema"]  # Vercel
    function = {
        "name": raw["name"],
        "description": raw.get("description") or None,
        "parameters": schema,
        "strict": raw.get("strict"),
    }
    return {"type": "function", "function": {k: v for k, v in function.items() if v is not None}}


def stored_params(settings: Any) -> dict[str, Any]:
    """Sampling settings without those that name a person, an address or a credential."""
    given = structured(settings)
    if not isinstance(given, dict):
        return {}
    return {k: v for k, v in given.items() if k.lower().replace("-", "_") not in names.NEVER_STORED}
