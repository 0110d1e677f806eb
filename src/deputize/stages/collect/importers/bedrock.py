"""Importer of Amazon Bedrock's model invocation logs, as they lie in S3 or come from CloudWatch.

References:
    Amazon Bedrock user guide, "Monitor model invocation using CloudWatch Logs and Amazon S3".
"""

from __future__ import annotations

from typing import Any

from deputize.core.records import Usage
from deputize.stages.collect.importers import side_fields as side
from deputize.stages.collect.importers.base import ImportContext, Parsed, Unreadable
from deputize.stages.collect.importers.embedded_json import structured
from deputize.stages.collect.importers.prompt_formats import protocol_of
from deputize.stages.collect.importers.recorded_exchange import KnownFields, exchange_calls
from deputize.wire.json_fields import mapping


class BedrockImporter:
    """Records of Converse, ConverseStream, InvokeModel and InvokeModelWithResponseStream."""

    name = "bedrock"
    description = (
        "Amazon Bedrock model invocation logs (S3, CloudWatch): Converse and InvokeModel, streamed or not"
    )
    marks = frozenset(("schemaType", "modelId"))

    def sniff(self, row: dict[str, Any]) -> bool:
        return row.get("schemaType") == "ModelInvocationLog" or (
            "modelId" in row and "operation" in row and "input" in row
        )

    def parse(self, row: dict[str, Any], context: ImportContext) -> Parsed:
        asked, said = mapping(row.get("input")) or {}, mapping(row.get("output")) or {}
        request, response = structured(asked.get("inputBodyJson")), structured(said.get("outputBodyJson"))
        if (request is None and "inputBodyS3Path" in asked) or (
            response is None and "outputBodyS3Path" in said
        ):
            return context.skip("the body is in a file of its own (..S3Path), since it is larger than 100 KB")
        code = row.get("errorCode")
        if not isinstance(request, dict) or not protocol_of(request):
            if (
                isinstance(request, dict)
                and request.keys() & {"inputText", "texts", "input_text", "images", "taskType"}
                and not protocol_of(request)
            ):
                return context.no_call("no chat call (an embedding, an image or the like)")
            return context.skip("no request body (invocation logging without text data)")
        if (
            "inputText" in request
            and "textGenerationConfig" not in request
            and isinstance(response, dict)
            and "embedding" in response
        ):
            return context.no_call("no chat call (an embedding, an image or the like)")
        metadata = mapping(row.get("requestMetadata")) or {}
        metrics = mapping(response.get("metrics")) if isinstance(response, dict) else None
        model = str(row.get("modelId") or "").rsplit("/", 1)[-1]
        known = KnownFields(
            id=side.text((row,), ("requestId",)),
            agent=side.text((metadata,), ("agent", "app", "application")) or _role(row) or None,
            episode=side.text(
                (metadata,),
                ("session", "session_id", "sessionId", "conversation_id", "conversationId", "trace_id"),
            )
            or "",
            model=model or None,
            usage=_usage(asked, said),
            latency_ms=side.first_number(
                (metrics or {}, response if isinstance(response, dict) else {}), ("latencyMs",)
            ),
            status=_status(code) if code else 200,
        )
        try:
            return exchange_calls(
                {k: row[k] for k in ("timestamp", "requestMetadata") if k in row},
                request,
                response,
                context,
                known,
            )
        except Unreadable as why:
            return context.skip(str(why))


def _role(row: dict[str, Any]) -> str:
    """The role that called, which is the nearest thing to an agent's name in the log."""
    arn = str((mapping(row.get("identity")) or {}).get("arn") or "")
    parts = arn.split("/")
    return parts[1] if "assumed-role" in arn and len(parts) > 1 else ""


def _usage(asked: dict[str, Any], said: dict[str, Any]) -> Usage | None:
    """The counts of the log, unless the body has its own, which know of the cache."""
    body = structured(said.get("outputBodyJson"))
    if isinstance(body, dict) and (found := side.usage_of(body.get("usage"))) is not None:
        return found
    prompt, written = side.number(asked.get("inputTokenCount")), side.number(said.get("outputTokenCount"))
    return (
        Usage(prompt_tokens=int(prompt or 0), completion_tokens=int(written or 0))
        if prompt or written
        else None
    )


def _status(code: Any) -> int:
    text = str(code).lower()
    if "throttl" in text or "toomany" in text or "quota" in text:
        return 429
    if "accessdenied" in text:
        return 403
    if "validation" in text:
        return 400
    return 424 if "modelerror" in text else side.status_of_error(code)
