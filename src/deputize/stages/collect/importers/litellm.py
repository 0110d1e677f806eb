"""Importer of LiteLLM's proxy: the payload of its loggers (S3, GCS, file, HTTP) and rows of its table of spend logs.

References:
    LiteLLM, "StandardLoggingPayload specification" and `LiteLLM_SpendLogs` of its schema.
"""

from __future__ import annotations

from typing import Any

from deputize.stages.collect.importers import side_fields as side
from deputize.stages.collect.importers.base import ImportContext, Parsed, Unreadable
from deputize.stages.collect.importers.embedded_json import structured
from deputize.stages.collect.importers.prompt_formats import protocol_of
from deputize.stages.collect.importers.recorded_exchange import KnownFields, exchange_calls
from deputize.wire.json_fields import mapping

_NO_CHAT = (
    "embedding",
    "transcription",
    "speech",
    "image",
    "rerank",
    "moderation",
    "search",
    "ocr",
    "file",
    "batch",
    "video",
)
_REDACTED = "redacted-by-litellm"
_APART = ("tools", "functions", "tool_choice", "response_format", "model", "messages", "system")


class LitellmImporter:
    """StandardLoggingPayload and SpendLogs."""

    name = "litellm"
    description = "LiteLLM proxy: StandardLoggingPayload (S3, GCS, file, generic API) and spend logs"
    marks = frozenset(("call_type",))

    def sniff(self, row: dict[str, Any]) -> bool:
        is_payload = "call_type" in row and ("model_parameters" in row or "response_cost" in row)
        return is_payload or ("spend" in row and "request_id" in row and "call_type" in row)

    def parse(self, row: dict[str, Any], context: ImportContext) -> Parsed:
        kind = str(row.get("call_type") or "").lower()
        if any(word in kind for word in _NO_CHAT):
            return context.no_call("no chat call (an embedding, an image or the like)")
        metadata = mapping(structured(row.get("metadata"))) or {}
        requester = (
            mapping(metadata.get("requester_metadata")) or mapping(metadata.get("spend_logs_metadata")) or {}
        )
        parameters = mapping(structured(row.get("model_parameters"))) or {}
        try:
            request = _request(row, parameters)
            if request is None:
                return context.skip(
                    "the text of the request was not logged (store_prompts_in_spend_logs or message logging is off)"
                )
            response = structured(row.get("response"))
            if _REDACTED in str(request.get("messages"))[:400] or _REDACTED in str(response)[:400]:
                return context.skip("the text was redacted by LiteLLM")
            failed = str(row.get("status") or metadata.get("status") or "success").lower() in (
                "failure",
                "failed",
                "error",
            )
            response_time = side.number(row.get("response_time"))
            start, end = (side.seconds(row.get(k)) for k in ("startTime", "endTime"))
            known = KnownFields(
                id=side.text((row,), ("id", "request_id")),
                agent=side.text((metadata,), ("user_api_key_alias",)) or None,
                episode=side.text(
                    (requester, row), ("session_id", "conversation_id", "thread_id", "trace_id")
                )
                or None,
                user=side.text((row, metadata), ("end_user", "user_api_key_end_user_id"))
                or side.text((row, metadata), ("user", "user_api_key_user_id"))
                or None,
                model=side.text((row,), ("model",)) or None,
                params={k: v for k, v in parameters.items() if k not in _APART},
                cost_usd=side.first_number((row,), ("response_cost", "spend")),
                latency_ms=_latency(start, end, response_time),
                status=_status(row, metadata, response) if failed else 200,
            )
            return exchange_calls(row, request, response, context, known)
        except Unreadable as why:
            return context.skip(str(why))


def _latency(start: float | None, end: float | None, response_time: float | None) -> float | None:
    """From start to end; `response_time` is that to the first token where the answer was streamed."""
    if start is not None and end is not None and end >= start:
        return round((end - start) * 1000, 3)
    return None if response_time is None else round(response_time * 1000, 3)


def _status(row: dict[str, Any], metadata: dict[str, Any], response: Any) -> int:
    for holder in (row.get("error_information"), metadata.get("error_information")):
        held = mapping(structured(holder))
        if held is not None:
            code = side.number(held.get("error_code"))
            return (
                int(code)
                if code is not None and 400 <= code < 600
                else side.status_of_error(held.get("error_message") or held.get("error_class"))
            )
    return side.status_of_error(
        row.get("error_str") or (response.get("error") if isinstance(response, dict) else response)
    )


def _request(row: dict[str, Any], parameters: dict[str, Any]) -> dict[str, Any] | None:
    """The request: the body that the proxy got, else messages with the parameters that it passed on; None where neither
    is there."""
    whole = structured(row.get("proxy_server_request"))
    if isinstance(whole, dict):
        body = mapping(structured(whole.get("body")))
        whole = body if body is not None else whole
        if protocol_of(whole):
            return whole
    messages = structured(row.get("messages"))
    if not messages:
        return None
    request = {k: parameters[k] for k in _APART if k in parameters}
    if isinstance(messages, list) and any(
        isinstance(m, dict) and m.get("type") in ("function_call", "function_call_output") for m in messages
    ):
        return {**request, "input": messages}
    return {**request, "messages": messages}
