"""Importers of observability platforms and gateways whose rows need more than the one table of names."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import msgspec

from deputize.core.artifacts import Skip
from deputize.core.records import Call, Usage
from deputize.stages.collect.importers import side_fields as side
from deputize.stages.collect.importers.base import ImportContext, Parsed, Unreadable, parse_alone
from deputize.stages.collect.importers.declared_settings import schema_format
from deputize.stages.collect.importers.embedded_json import as_text, objects, structured
from deputize.stages.collect.importers.message_formats import collapsed, read_messages
from deputize.stages.collect.importers.prompt_formats import protocol_of
from deputize.stages.collect.importers.recorded_exchange import KnownFields, exchange_calls
from deputize.wire.json_fields import mapping

_EXTRA_FIELDS = ("tools", "response_format", "tool_choice")
_JSON_OUTPUT = frozenset({"raw", "parsed"})
_APART = (
    "tools",
    "functions",
    "tool_choice",
    "response_format",
    "model",
    "messages",
    "provider",
    "session_id",
    "user_id",
)


def _read(
    row: dict[str, Any], request: Any, response: Any, context: ImportContext, known: KnownFields
) -> Parsed:
    try:
        return exchange_calls(row, request, response, context, known)
    except Unreadable as why:
        return context.skip(str(why))


def _object(row: dict[str, Any], name: str) -> dict[str, Any]:
    return mapping(structured(row.get(name))) or {}


class BraintrustImporter:
    """Rows of a project's logs or of an experiment."""

    name = "braintrust"
    description = "Braintrust project logs and experiments (spans of type llm)"
    marks = frozenset(("span_attributes",))

    def sniff(self, row: dict[str, Any]) -> bool:
        return "span_attributes" in row and ("root_span_id" in row or "span_id" in row)

    def parse(self, row: dict[str, Any], context: ImportContext) -> Parsed:
        kind = _object(row, "span_attributes").get("type")
        if kind not in ("llm", None):
            return context.no_call("a span that is no LLM call")
        metadata, metrics = _object(row, "metadata"), _object(row, "metrics")
        given = structured(row.get("input"))
        request: Any = given
        if not isinstance(given, dict) or not protocol_of(given):
            request = {"messages": given} | {k: metadata[k] for k in _EXTRA_FIELDS if k in metadata}
        start, end = side.number(metrics.get("start")), side.number(metrics.get("end"))
        ttft = side.number(metrics.get("time_to_first_token"))
        scores = _object(row, "scores")
        known = KnownFields(
            id=side.text((row,), ("id", "span_id")),
            model=side.text((metadata,), ("model",)) or None,
            episode=side.text((metadata,), ("session_id", "thread_id", "conversation_id"))
            or side.text((row,), ("root_span_id",)),
            params={k: v for k, v in metadata.items() if k not in _APART and isinstance(v, int | float)},
            usage=side.usage_of(metrics),
            timestamp=start,
            latency_ms=round((end - start) * 1000, 3) if start is not None and end is not None else None,
            ttft_ms=round(ttft * 1000, 3) if ttft is not None else None,
            cost_usd=side.first_number((metrics,), ("estimated_cost", "cost")),
            outcome=side.outcome_of(scores) if scores else None,
            status=side.status_of_error(row["error"]) if row.get("error") else 200,
        )
        return _read(row, request, structured(row.get("output")), context, known)


class WeaveImporter:
    """Calls of W&B Weave."""

    name = "weave"
    description = "Weights & Biases Weave calls"
    marks = frozenset(("op_name",))

    def sniff(self, row: dict[str, Any]) -> bool:
        return isinstance(row.get("op_name"), str) and "inputs" in row

    def parse(self, row: dict[str, Any], context: ImportContext) -> Parsed:
        inputs = _object(row, "inputs")
        if not protocol_of(inputs):
            return context.no_call("a call of an operation that is no LLM call")
        summary = _object(row, "summary")
        weave = mapping(summary.get("weave")) or {}
        counts = mapping(summary.get("usage")) or {}
        usage = next((u for v in counts.values() if (u := side.usage_of(v)) is not None), None)
        request = {k: v for k, v in inputs.items() if k != "self"}
        known = KnownFields(
            id=side.text((row,), ("id",)),
            episode=side.text((row,), ("thread_id", "trace_id")),
            usage=usage,
            latency_ms=side.first_number((weave,), ("latency_ms",)),
            status=side.status_of_error(row["exception"]) if row.get("exception") else 200,
            outcome=side.outcome_of(weave.get("feedback")),
        )
        return _read(row, request, structured(row.get("output")), context, known)


class MlflowImporter:
    """Traces of MLflow 3: the spans of type CHAT_MODEL or LLM."""

    name = "mlflow"
    description = "MLflow traces (Trace.to_json, traces.json)"
    marks = frozenset(("data", "spans", "attributes"))

    def sniff(self, row: dict[str, Any]) -> bool:
        data = mapping(structured(row.get("data")))
        spans = data.get("spans") if data is not None else row.get("spans")
        if isinstance(spans, list) and spans:
            return any(
                isinstance(s, dict) and "mlflow.spanType" in (mapping(s.get("attributes")) or {})
                for s in spans
            )
        return "mlflow.spanInputs" in (mapping(row.get("attributes")) or {})

    def parse(self, row: dict[str, Any], context: ImportContext) -> Parsed:
        data = mapping(structured(row.get("data"))) or row
        spans = data["spans"] if isinstance(data.get("spans"), list) else [row]
        info = mapping(row.get("info")) or {}
        out: list[Any] = []
        for span in spans:
            if isinstance(span, dict):
                found = self._span(span, info, context)
                out += found if isinstance(found, list) else [found]
        return out or context.skip("a trace without a span")

    def _span(self, span: dict[str, Any], info: dict[str, Any], context: ImportContext) -> Parsed:
        attributes = {k: structured(_unquoted(v)) for k, v in (mapping(span.get("attributes")) or {}).items()}
        if attributes.get("mlflow.spanType") not in ("CHAT_MODEL", "LLM"):
            return context.no_call("a span that is no LLM call")
        metadata = {
            **(mapping(info.get("trace_metadata")) or {}),
            **(mapping(info.get("request_metadata")) or {}),
        }
        start, end = (side.seconds(span.get(k)) for k in ("start_time_unix_nano", "end_time_unix_nano"))
        status = mapping(span.get("status")) or {}
        failed = "ERROR" in str(status.get("code") or span.get("status_code") or "").upper()
        scores = objects(info.get("assessments"))
        score = mapping(scores[0].get("feedback")) if len(scores) == 1 else None
        known = KnownFields(
            id=f"{info.get('trace_id') or span.get('trace_id') or ''}-{span.get('span_id') or ''}".strip("-"),
            episode=side.text((metadata,), ("mlflow.trace.session",))
            or str(info.get("trace_id") or span.get("trace_id") or ""),
            user=side.text((metadata,), ("mlflow.trace.user",)) or None,
            tools=attributes.get("mlflow.chat.tools"),
            usage=side.usage_of(attributes.get("mlflow.chat.tokenUsage")),
            timestamp=start if start is not None else side.seconds(info.get("request_time")),
            latency_ms=round((end - start) * 1000, 3) if start is not None and end is not None else None,
            outcome=side.outcome_of(score.get("value")) if score is not None else None,
            status=side.status_of_error(status.get("message")) if failed else 200,
        )
        return _read(
            {}, attributes.get("mlflow.spanInputs"), attributes.get("mlflow.spanOutputs"), context, known
        )


def _unquoted(value: Any) -> Any:
    """Attributes of MLflow are JSON texts: a text is one too, in quotes."""
    if isinstance(value, str) and value[:1] == '"' and value[-1:] == '"':
        try:
            return msgspec.json.decode(value)
        except (msgspec.DecodeError, UnicodeEncodeError):
            return value
    return value


class TensorzeroImporter:
    """Rows of ChatInference and ModelInference."""

    name = "tensorzero"
    description = "TensorZero tables ChatInference and ModelInference"
    marks = frozenset(("variant_name", "raw_request"))

    def sniff(self, row: dict[str, Any]) -> bool:
        return ("variant_name" in row and "function_name" in row) or (
            "raw_request" in row and "raw_response" in row
        )

    def parse(self, row: dict[str, Any], context: ImportContext) -> Parsed:
        usage = side.row_usage(row)
        if "raw_request" in row:
            known = KnownFields(
                id=side.text((row,), ("inference_id", "id")),
                episode=side.text((row,), ("episode_id",)),
                usage=usage,
            )
            return _read(row, row["raw_request"], row.get("raw_response"), context, known)
        given = structured(row.get("input"))
        if not isinstance(given, dict):
            return context.skip("no messages")
        tool_params = _object(row, "tool_params")
        tools = tool_params.get("tools_available") or structured(row.get("dynamic_tools")) or None
        tags = _object(row, "tags")
        settings = _object(row, "inference_params").get("chat_completion")
        known = KnownFields(
            id=side.text((row,), ("id",)),
            site=side.text((row,), ("function_name",)),
            episode=side.text((row,), ("episode_id",)),
            user=side.text((tags,), ("user_id", "user")) or None,
            model=side.text((row,), ("model_name", "variant_name")) or None,
            tools=tools,
            tool_choice=tool_params.get("tool_choice"),
            response_format=schema_format(row.get("output_schema")),
            params=settings if isinstance(settings, dict) else {},
            usage=usage,
            latency_ms=side.first_number((row,), ("processing_time_ms",)),
        )
        system = given.get("system")
        text = as_text(system) if isinstance(system, dict) else system
        kept: dict[str, Any] = {k: row[k] for k in ("timestamp", "tags") if k in row}
        output = structured(row.get("output"))
        if isinstance(output, dict) and output.keys() <= _JSON_OUTPUT:  # of a function with a schema
            output = as_text(output.get("raw") if output.get("raw") is not None else output.get("parsed"))
        try:
            request = {"messages": collapsed(read_messages(given.get("messages"), text))}
        except Unreadable as why:
            return context.skip(str(why))
        return _read(kept, request, output, context, known)


class DatadogImporter:
    """Spans of Datadog's LLM Observability."""

    name = "datadog"
    description = "Datadog LLM Observability spans (export API)"
    marks = frozenset(("attributes", "span_kind"))

    def sniff(self, row: dict[str, Any]) -> bool:
        held = mapping(row.get("attributes")) or row
        return "span_kind" in held and ("ml_app" in held or "metrics" in held) and "span_id" in held

    def parse(self, row: dict[str, Any], context: ImportContext) -> Parsed:
        held = mapping(row.get("attributes")) or row
        if held.get("span_kind") != "llm":
            return context.no_call("a span that is no LLM call")
        asked, said = _object(held, "input"), _object(held, "output")
        messages = asked.get("messages") or asked.get("value")
        answers = said.get("messages")
        response = answers[-1] if isinstance(answers, list) and answers else said.get("value")
        given = held.get("tags")
        texts = [t for t in given if isinstance(t, str) and ":" in t] if isinstance(given, list) else []
        tags = [t.split(":", 1) for t in texts]
        labels: dict[str, Any] = {t[0]: t[1] for t in tags}
        metrics, metadata = _object(held, "metrics"), _object(held, "metadata")
        duration, start = side.number(held.get("duration")), held.get("start_ns") or held.get("start_ms")
        cost = side.number(metrics.get("estimated_total_cost"))
        known = KnownFields(
            id=side.text((held, row), ("span_id", "id")),
            agent=side.text((held,), ("ml_app",)) or None,
            episode=side.text((held, labels), ("session_id",)) or side.text((held,), ("trace_id",)),
            user=side.text((labels, metadata), ("user_id", "usr.id", "user")) or None,
            model=side.text((held,), ("model_name",)) or None,
            tools=held.get("tool_definitions"),
            params={k: v for k, v in metadata.items() if k not in _APART},
            response_format=metadata.get("response_format"),
            tool_choice=metadata.get("tool_choice"),
            # its input_tokens hold what the cache gave
            usage=side.usage_of(
                {**metrics, "total_tokens": None, "prompt_tokens": metrics.get("input_tokens")}
            ),
            timestamp=side.seconds(start),
            latency_ms=round(duration / 1e6, 3) if duration is not None else None,
            # in billionths of a dollar
            cost_usd=cost / 1e9 if cost is not None else None,
            status=side.status_of_error(_object(held, "meta").get("error.message") or held.get("error"))
            if held.get("status") == "error"
            else 200,
        )
        return _read({}, {"messages": messages}, response, context, known)


class ApimImporter:
    """Rows of Azure API Management's LLM log: one call is several rows of one CorrelationId, the texts cut in
    pieces."""

    name = "azure-apim"
    description = "Azure API Management GatewayLlmLogs (Log Analytics)"
    marks = frozenset(("CorrelationId",))

    def sniff(self, row: dict[str, Any]) -> bool:
        return "CorrelationId" in row and "SequenceNumber" in row

    def parse(self, row: dict[str, Any], context: ImportContext) -> Parsed:
        return parse_alone(self, row, context)

    def joiner(self) -> _ApimJoiner:
        return _ApimJoiner()


class _ApimJoiner:
    MAX_WAITING = 100_000

    def __init__(self) -> None:
        self._rows: dict[str, tuple[ImportContext, list[bytes]]] = {}

    def add(self, row: dict[str, Any], context: ImportContext) -> Sequence[Call | Skip]:
        name = str(row.get("CorrelationId"))
        if name not in self._rows and len(self._rows) >= self.MAX_WAITING:
            return [context.skip("more calls in pieces than are kept; give the rows in parts")]
        kept = (
            "SequenceNumber",
            "TimeGenerated",
            "RequestMessages",
            "ResponseMessages",
            "ModelName",
            "DeploymentName",
            "PromptTokens",
            "CompletionTokens",
            "ApimSubscriptionId",
        )
        piece = {k: row[k] for k in kept if row.get(k) is not None}
        self._rows.setdefault(name, (context, []))[1].append(zlib.compress(msgspec.json.encode(piece), 1))
        return []

    def finish(self) -> Sequence[Call | Skip]:
        out: list[Call | Skip] = []
        for name, (context, packed) in self._rows.items():
            rows = [msgspec.json.decode(zlib.decompress(p)) for p in packed]
            rows.sort(key=lambda r: side.number(r.get("SequenceNumber")) or 0)
            found = self._call(name, rows, context)
            out += [found] if isinstance(found, Call | Skip) else list(found)
        self._rows = {}
        return out

    def _call(self, name: str, rows: list[dict[str, Any]], context: ImportContext) -> Parsed:
        asked = structured("".join(as_text(r.get("RequestMessages")) for r in rows))
        said = structured("".join(as_text(r.get("ResponseMessages")) for r in rows))
        if not asked:
            return context.skip("no messages (logging of prompts is off)")
        counts = next((r for r in rows if "PromptTokens" in r or "CompletionTokens" in r), {})
        prompt, written = side.number(counts.get("PromptTokens")), side.number(counts.get("CompletionTokens"))
        known = KnownFields(
            id=name,
            episode="",
            model=side.text(rows, ("ModelName", "DeploymentName")) or None,
            usage=Usage(prompt_tokens=int(prompt or 0), completion_tokens=int(written or 0))
            if prompt or written
            else None,
            timestamp=side.timestamp(rows, ("TimeGenerated",)),
            status=200 if said else 500,
        )
        return _read({}, {"messages": asked}, said or None, context, known)


class DspyImporter:
    """Entries of DSPy's history."""

    name = "dspy"
    description = "DSPy lm.history"
    marks = frozenset(("kwargs",))

    def sniff(self, row: dict[str, Any]) -> bool:
        return "outputs" in row and "kwargs" in row and ("messages" in row or "prompt" in row)

    def parse(self, row: dict[str, Any], context: ImportContext) -> Parsed:
        settings = _object(row, "kwargs")
        outputs = structured(row.get("outputs"))
        first = outputs[0] if isinstance(outputs, list) and outputs else None
        if isinstance(first, dict) and "text" in first:
            first = {
                "role": "assistant",
                "content": first.get("text"),
                "tool_calls": first.get("tool_calls") or None,
            }
            first = {k: v for k, v in first.items() if v is not None or k == "content"}
        request: dict[str, Any] = {"messages": row.get("messages") or row.get("prompt")}
        request |= {k: settings[k] for k in _EXTRA_FIELDS if k in settings}
        known = KnownFields(
            id=side.text((row,), ("uuid",)),
            model=side.text((row,), ("response_model", "model")) or None,
            params={k: v for k, v in settings.items() if k not in _APART},
        )
        return _read(
            {k: row[k] for k in ("usage", "cost", "timestamp") if k in row}, request, first, context, known
        )


class PortkeyImporter:
    """Rows of Portkey's logs export: costs in cents, times in milliseconds."""

    name = "portkey"
    description = "Portkey logs export"
    marks = frozenset(("ai_org", "req_units"))

    def sniff(self, row: dict[str, Any]) -> bool:
        return ("request" in row and "ai_org" in row) or (
            "response_status_code" in row and "req_units" in row
        )

    def parse(self, row: dict[str, Any], context: ImportContext) -> Parsed:
        cost, time = side.number(row.get("cost")), side.number(row.get("response_time"))
        known = KnownFields(
            cost_usd=round(cost / 100, 12) if cost is not None else None,
            latency_ms=time,
            model=side.text((row,), ("ai_model",)) or None,
        )
        return _read(row, row.get("request"), row.get("response"), context, known)
