"""Records of formats that are known to hold no calls, so that they are refused by their name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from deputize.stages.collect.importers.base import ImportContext, Parsed

_ACTIONS = frozenset({"index", "create", "update", "delete"})
_KINDS: tuple[tuple[str, Callable[[dict[str, Any]], bool]], ...] = (
    (
        "OpenRouter's activity export, which holds counts and costs but no texts",
        lambda row: "generation_id" in row and "cost_total" in row,
    ),
    (
        "Azure's diagnostic logs, which hold counts but no texts; API Management's LLM logs hold both",
        lambda row: row.get("category") in ("RequestResponse", "Audit", "Trace") and "operationName" in row,
    ),
    ("MCP messages (JSON-RPC), which are calls of tools and not of an LLM", lambda row: "jsonrpc" in row),
    (
        "a history of browser-use, which holds the model's answers but not its prompts",
        lambda row: (
            isinstance(row.get("history"), list)
            and any(isinstance(step, dict) and "model_output" in step for step in row["history"])
        ),
    ),
    (
        "log records of AgentOps or OpenTelemetry, which hold lines of a program and no calls",
        lambda row: "severity_number" in row and "body" in row,
    ),
    (
        "OpenAI's stored completions, whose prompts are another endpoint (/v1/chat/completions/ID/messages)",
        lambda row: row.get("object") == "chat.completion" and "choices" in row,
    ),
    (
        "responses of OpenAI's Responses API without the requests that they answer",
        lambda row: row.get("object") == "response" and "output" in row,
    ),
    (
        "replies of Anthropic's Messages API without the requests that they answer",
        lambda row: (
            row.get("type") == "message"
            and row.get("role") == "assistant"
            and isinstance(row.get("content"), list)
        ),
    ),
    (
        "chunks of a stream without the request that they answer",
        lambda row: row.get("object") == "chat.completion.chunk",
    ),
    (
        "a cache of answers by prompt, as MetaGPT keeps one; write lines with a prompt and a completion",
        lambda row: _is_cache(row),
    ),
    (
        "calls of an agent in Bedrock, which show neither prompt nor answer of a model",
        lambda row: "inputText" in row and "enableTrace" in row,
    ),
)
_DESCRIPTIONS: tuple[tuple[str, Callable[[dict[str, Any]], bool]], ...] = (
    (
        "a description of a Hugging Face dataset",
        lambda row: ("features" in row and "description" in row) or "_data_files" in row,
    ),
    (
        "an action line of Elasticsearch's bulk format",
        lambda row: len(row) == 1 and isinstance(next(iter(row.values())), dict) and row.keys() <= _ACTIONS,
    ),
    (
        "an embedding, not a chat call",
        lambda row: _is_embedding(row),
    ),
    (
        "a trace or group of OpenAI's agents SDK, not a call",
        lambda row: row.get("object") in ("trace", "trace.span") and _span_kind(row) != "generation",
    ),
)


def _is_embedding(row: dict[str, Any]) -> bool:
    request, response = row.get("request"), row.get("response")
    body = (
        request.get("body")
        if isinstance(request, dict) and isinstance(request.get("body"), dict)
        else request
    )
    if isinstance(response, dict):
        data = response.get("data")
        if (
            response.get("object") == "list"
            and isinstance(data, list)
            and data
            and isinstance(data[0], dict)
            and "embedding" in data[0]
        ):
            return True
    return isinstance(body, dict) and "embedding" in str(body.get("model") or "") and "input" in body


def _is_cache(row: dict[str, Any]) -> bool:
    """Check for texts by texts, most of them sentences and not names."""
    texts = [key for key, value in row.items() if isinstance(value, str) and " " in key.strip()]
    return bool(texts) and len(texts) == len(row)


def _span_kind(row: dict[str, Any]) -> Any:
    data = row.get("span_data")
    return data.get("type") if isinstance(data, dict) else None


_MARKS = frozenset(
    {
        *_ACTIONS,
        *(
            "generation_id",
            "category",
            "jsonrpc",
            "history",
            "severity_number",
            "object",
            "type",
            "inputText",
        ),
        *("features", "_data_files", "request", "span_data"),
    }
)


class RefusedImporter:
    """Records of known formats that hold no call."""

    name = "no-calls"
    description = "recognised and refused by name: OpenRouter activity, Azure diagnostics, MCP, browser-use, replies without requests"

    def sniff(self, row: dict[str, Any]) -> bool:
        if _MARKS.isdisjoint(row):
            return _is_cache(row)
        return any(test(row) for _, test in (*_KINDS, *_DESCRIPTIONS))

    def parse(self, row: dict[str, Any], context: ImportContext) -> Parsed:
        for what, test in _DESCRIPTIONS:
            if test(row):
                return context.no_call(what)
        what = next((what for what, test in _KINDS if test(row)), "no call in it")
        return context.skip(what)
