"""Importer of LangSmith runs and of the callbacks of LangChain.

References:
    LangSmith SDK, `schemas.Run`; LangChain, `BaseCallbackHandler`.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any

import msgspec

from deputize.core.artifacts import Skip
from deputize.core.records import Call, Outcome
from deputize.stages.collect.importers import side_fields as side
from deputize.stages.collect.importers.base import ImportContext, Parsed, Unreadable, as_list, parse_alone
from deputize.stages.collect.importers.embedded_json import objects, structured
from deputize.stages.collect.importers.prompt_formats import protocol_of
from deputize.stages.collect.importers.recorded_exchange import KnownFields, exchange_calls
from deputize.wire.json_fields import mapping

_STARTS = ("on_chat_model_start", "on_llm_start")
_ENDS = ("on_llm_end", "on_chat_model_end", "on_llm_error")
_APART = (
    "tools",
    "functions",
    "tool_choice",
    "response_format",
    "messages",
    "model",
    "model_name",
    "_type",
    "stop",
    "stream",
)
_MAX_WAITING = 100_000


class LangsmithImporter:
    """Runs of type llm, alone or in the batches that the SDK sends; events of a callback handler."""

    name = "langsmith"
    description = "LangSmith runs (list, bulk export, batches of the SDK) and LangChain callback events"
    marks = frozenset(("run_type", "event", "post"))

    def sniff(self, row: dict[str, Any]) -> bool:
        if isinstance(row.get("run_type"), str) and ("inputs" in row or "outputs" in row):
            return True
        if isinstance(row.get("event"), str) and row["event"].startswith("on_") and "run_id" in row:
            return True
        batch = row.get("post")
        return (
            isinstance(batch, list)
            and isinstance(row.get("patch", []), list)
            and all(isinstance(r, dict) for r in batch)
        )

    def parse(self, row: dict[str, Any], context: ImportContext) -> Parsed:
        return parse_alone(self, row, context)

    def joiner(self) -> _RunJoiner:
        return _RunJoiner()


class _RunJoiner:
    """Joins the beginning and the end of a run, which batches and callbacks write apart."""

    def __init__(self) -> None:
        self._waiting: dict[str, tuple[ImportContext, bytes]] = {}

    def add(self, row: dict[str, Any], context: ImportContext) -> Sequence[Call | Skip]:
        if "run_type" in row:
            return as_list(_read_run(row, context))
        if isinstance(row.get("event"), str):
            return self._add_event(row, context)
        out: list[Call | Skip] = []
        posted = objects(row.get("post"))
        patched = objects(row.get("patch"))
        for n, run in enumerate(posted):
            name = str(run.get("id") or run.get("dotted_order") or "")
            same = [p for p in patched if (name and str(p.get("id") or "") == name) or _same_order(p, run)]
            later = same[0] if same else patched[n] if len(posted) == len(patched) == 1 else {}
            out += as_list(_read_run({**run, **{k: v for k, v in later.items() if v is not None}}, context))
        return out or [context.no_call("a batch without the beginning of a run")]

    def _add_event(self, row: dict[str, Any], context: ImportContext) -> Sequence[Call | Skip]:
        name, run_id = row["event"], str(row.get("run_id") or "")
        data = mapping(row.get("data")) or row
        if name in _STARTS:
            if len(self._waiting) < _MAX_WAITING:
                self._waiting[run_id] = (
                    context,
                    zlib.compress(msgspec.json.encode({**row, "data": data}), 1),
                )
                return []
            return [context.skip("a call whose end is not near its beginning in the log")]
        if name not in _ENDS:
            return [context.no_call("an event that is no LLM call")]
        found = self._waiting.pop(run_id, None)
        if found is None:
            return [context.skip("the end of a call whose beginning is not in the log")]
        return as_list(_read_events(msgspec.json.decode(zlib.decompress(found[1])), row, data, context))

    def finish(self) -> Sequence[Call | Skip]:
        left = [
            context.skip("the beginning of a call whose end is not in the log")
            for context, _ in self._waiting.values()
        ]
        self._waiting = {}
        return left


def _same_order(one: dict[str, Any], other: dict[str, Any]) -> bool:
    order = one.get("dotted_order")
    return isinstance(order, str) and order == other.get("dotted_order")


def _read_run(row: dict[str, Any], context: ImportContext) -> Parsed:
    if row.get("run_type") != "llm":
        return context.no_call("a run that is no LLM call")
    inputs, outputs = structured(row.get("inputs")), structured(row.get("outputs"))
    extra = mapping(structured(row.get("extra"))) or {}
    settings = mapping(extra.get("invocation_params")) or {}
    metadata = mapping(extra.get("metadata")) or mapping(structured(row.get("metadata"))) or {}
    error = row.get("error")
    llm_output = mapping(outputs.get("llm_output")) if isinstance(outputs, dict) else None
    usage = mapping((llm_output or {}).get("token_usage")) or (
        outputs.get("usage_metadata") if isinstance(outputs, dict) else None
    )
    places = (metadata, settings)
    session = side.text((metadata,), ("session_id", "thread_id", "conversation_id", "ls_thread_id"))
    known = KnownFields(
        id=side.text((row,), ("id",)),
        agent=side.text(
            (metadata,), ("agent", "ls_agent_name", "lc_agent_name", "agent_name", "langgraph_node")
        )
        or None,
        site=side.text((metadata,), ("langgraph_node", "site")),
        # session_id of a run is its project
        episode=session or side.text((row,), ("trace_id", "parent_run_id", "id")),
        user=side.text(places, ("user_id", "user", "end_user", "userId")) or None,
        model=side.text(places, ("ls_model_name", "model", "model_name")) or None,
        tools=settings.get("tools") or settings.get("functions"),
        response_format=settings.get("response_format") or _structured_output(extra),
        tool_choice=settings.get("tool_choice"),
        params={k: v for k, v in settings.items() if k not in _APART},
        usage=side.usage_of(usage) or side.row_usage(row),
        cost_usd=side.first_number((row,), ("total_cost",)),
        outcome=_feedback(row.get("feedback_stats")),
        status=side.status_of_error(error) if error else 200,
    )
    try:
        return exchange_calls(row, _request(inputs), _response(outputs), context, known)
    except Unreadable as why:
        return context.skip(str(why))


def _structured_output(extra: dict[str, Any]) -> Any:
    """The schema that `with_structured_output` asked for, where LangChain notes it."""
    for holder in (mapping(extra.get("options")), mapping(extra.get("metadata"))):
        if holder is not None and holder.get("ls_structured_output_format") is not None:
            return holder["ls_structured_output_format"]
    return None


def _feedback(raw: Any) -> Outcome | None:
    """The outcome where people or evaluators gave one kind of feedback: its average."""
    stats = mapping(structured(raw)) or {}
    held = [(k, v) for k, v in stats.items() if isinstance(v, dict) and side.number(v.get("avg")) is not None]
    return Outcome(reward=side.number(held[0][1]["avg"]), metric=str(held[0][0])) if len(held) == 1 else None


def _request(inputs: Any) -> Any:
    if not isinstance(inputs, dict):
        return {"messages": inputs}
    if protocol_of(inputs):
        return inputs
    prompts = structured(inputs.get("prompts"))
    if isinstance(prompts, list) and prompts:
        return {"messages": prompts[0]}
    inner = mapping(structured(inputs.get("input")))
    return (
        inner
        if inner is not None and protocol_of(inner)
        else {"messages": inputs.get("input") or inputs.get("text") or []}
    )


def _response(outputs: Any) -> Any:
    """The first generation of LangChain's results, or the output as it is."""
    if not isinstance(outputs, dict):
        return outputs
    generations = structured(outputs.get("generations"))
    if isinstance(generations, list) and generations:
        first = generations[0]
        first = first[0] if isinstance(first, list) and first else first
        if isinstance(first, dict):
            message = structured(first.get("message"))
            info = mapping(first.get("generation_info")) or {}
            if isinstance(message, dict):
                return {"message": message, "finish_reason": info.get("finish_reason")}
            return {"role": "assistant", "content": first.get("text")}
    inner = structured(outputs.get("output"))
    if isinstance(inner, dict | list) and "choices" not in outputs and "role" not in outputs:
        return inner
    return outputs


def _read_events(
    start: dict[str, Any], end: dict[str, Any], data: dict[str, Any], context: ImportContext
) -> Parsed:
    begun = mapping(start.get("data")) or {}
    settings = (
        mapping(begun.get("invocation_params"))
        or mapping((mapping(begun.get("kwargs")) or {}).get("invocation_params"))
        or {}
    )
    metadata = mapping(begun.get("metadata")) or {}
    result = mapping(structured(data.get("response"))) or mapping(data.get("output")) or data
    llm_output = mapping(result.get("llm_output")) or {}
    started, ended = side.timestamp((start, begun)), side.timestamp((end, data))
    is_error = end.get("event") == "on_llm_error"
    known = KnownFields(
        id=str(start.get("run_id") or ""),
        episode=side.text((metadata,), ("session_id", "thread_id", "conversation_id"))
        or side.text((start,), ("parent_run_id",)),
        model=side.text((settings,), ("model", "model_name"))
        or side.text((llm_output,), ("model_name",))
        or None,
        tools=settings.get("tools"),
        params={k: v for k, v in settings.items() if k not in _APART},
        usage=side.usage_of(llm_output.get("token_usage")),
        timestamp=started,
        latency_ms=None if started is None or ended is None else round((ended - started) * 1000, 3),
        status=side.status_of_error(data.get("error") or end.get("error")) if is_error else 200,
    )
    messages = begun.get("messages") if begun.get("messages") is not None else begun.get("prompts")
    prompt = messages[0] if isinstance(messages, list) and len(messages) == 1 else messages
    try:
        return exchange_calls({"metadata": metadata}, {"messages": prompt}, _response(result), context, known)
    except Unreadable as why:
        return context.skip(str(why))
