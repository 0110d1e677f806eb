"""Importers of agents' trajectories: benchmarks and agent programs that keep a run as one document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from deputize.core.artifacts import Skip
from deputize.core.records import Call, Outcome
from deputize.stages.collect.importers import side_fields as side
from deputize.stages.collect.importers.base import ImportContext, Parsed, Unreadable, as_list, parse_alone
from deputize.stages.collect.importers.conversation_turns import calls_or_skip
from deputize.stages.collect.importers.embedded_json import as_text, objects
from deputize.stages.collect.importers.recorded_exchange import KnownFields, exchange_calls
from deputize.wire.json_fields import mapping


class TauBenchImporter:
    """Results of tau-bench: one object a trial."""

    name = "tau-bench"
    description = "tau-bench results (traj, reward)"
    marks = frozenset(("traj",))

    def sniff(self, row: dict[str, Any]) -> bool:
        return isinstance(row.get("traj"), list) and "task_id" in row

    def parse(self, row: dict[str, Any], context: ImportContext) -> Parsed:
        task, trial = as_text(row.get("task_id")), as_text(row.get("trial"))
        known = KnownFields(
            id=f"task-{task}-trial-{trial}",
            episode=f"task-{task}-trial-{trial}",
            group=f"{context.agent}:{task}",
            user="",
            outcome=_outcome(row.get("reward"), "reward"),
        )
        return calls_or_skip(row.get("traj"), context, known)


def _outcome(value: Any, metric: str) -> Outcome | None:
    found = side.outcome_of(value)
    return msgspec.structs.replace(found, metric=metric) if found is not None else None


class SweAgentImporter:
    """A trajectory of SWE-agent."""

    name = "swe-agent"
    description = "SWE-agent trajectories (.traj)"
    marks = frozenset(("trajectory",))

    def sniff(self, row: dict[str, Any]) -> bool:
        return isinstance(row.get("history"), list) and "trajectory" in row and "info" in row

    def parse(self, row: dict[str, Any], context: ImportContext) -> Parsed:
        info = mapping(row.get("info")) or {}
        name = as_text(row.get("instance_id") or row.get("environment"))
        resolved = info.get("resolved")
        known = KnownFields(
            id="",
            group=f"{context.agent}:{name}" if name and name != "main" else None,
            user="",
            outcome=Outcome(success=resolved, metric="resolved") if isinstance(resolved, bool) else None,
        )
        messages = objects(row.get("history"))
        return calls_or_skip([_swe_message(m) for m in messages], context, known)


def _swe_message(message: dict[str, Any]) -> dict[str, Any]:
    kept: dict[str, Any] = {k: message[k] for k in ("role", "content", "tool_calls") if k in message}
    ids = message.get("tool_call_ids")
    if message.get("role") == "tool" and isinstance(ids, list) and ids:
        kept["tool_call_id"] = ids[0]
    return kept


class AgentdojoImporter:
    """A run of AgentDojo."""

    name = "agentdojo"
    description = "AgentDojo runs"
    marks = frozenset(("suite_name",))

    def sniff(self, row: dict[str, Any]) -> bool:
        return "suite_name" in row and isinstance(row.get("messages"), list)

    def parse(self, row: dict[str, Any], context: ImportContext) -> Parsed:
        parts = [
            as_text(row.get(k))
            for k in ("suite_name", "pipeline_name", "user_task_id", "injection_task_id", "attack_type")
        ]
        name = "/".join(p for p in parts if p)
        utility = row.get("utility")
        known = KnownFields(
            id=name,
            episode=name,
            site=parts[0],
            group=f"{context.agent}:{parts[0]}/{parts[2]}",
            user="",
            model=parts[1] or None,
            outcome=Outcome(success=utility, metric="utility") if isinstance(utility, bool) else None,
        )
        return calls_or_skip(
            row.get("messages"), context, known, {"evaluation_timestamp": row.get("evaluation_timestamp")}
        )


class InspectImporter:
    """A log of Inspect, or one sample of it as it lies in an .eval file."""

    name = "inspect"
    description = "Inspect logs (.json, .eval): model events, else the messages of samples"
    marks = frozenset(("eval", "eval_id", "epoch"))

    def sniff(self, row: dict[str, Any]) -> bool:
        if ("eval" in row and "plan" in row) or row.keys() >= {"eval_id", "run_id"}:
            return True
        return "epoch" in row and "id" in row and "input" in row and ("messages" in row or "target" in row)

    def parse(self, row: dict[str, Any], context: ImportContext) -> Parsed:
        samples = row.get("samples")
        if isinstance(samples, list):
            header = mapping(row.get("eval")) or {}
            out: list[Any] = []
            for sample in samples:
                found = (
                    self._sample(sample, header, context)
                    if isinstance(sample, dict)
                    else context.skip("a sample that is no object")
                )
                out += found if isinstance(found, list) else [found]
            return out or context.no_call("the head of an Inspect log, without samples")
        if "messages" not in row and "events" not in row:
            return context.no_call("the head or summary of an Inspect log, without messages")
        return self._sample(row, {}, context)

    def _sample(self, row: dict[str, Any], header: dict[str, Any], context: ImportContext) -> Parsed:
        name = f"{header.get('run_id') or ''}{'-' if header.get('run_id') else ''}{as_text(row.get('id'))}-{as_text(row.get('epoch'))}"
        scores = [s for s in (mapping(row.get("scores")) or {}).items() if isinstance(s[1], dict)]
        outcome = _score(*scores[0]) if len(scores) == 1 else None
        attachments = mapping(row.get("attachments")) or {}
        task = as_text(header.get("task")) or context.agent
        events = [e for e in objects(row.get("events")) if e.get("event") == "model"]
        out: list[Any] = []
        for step, event in enumerate(events):
            found = self._event(
                _attached(event, attachments), f"{name}-{step}", name, outcome, task, step, context
            )
            out += found if isinstance(found, list) else [found]
        if out:
            return out
        known = KnownFields(
            id=name,
            episode=name,
            group=f"{task}:{as_text(row.get('id'))}" if task else name,
            user="",
            outcome=outcome,
            agent=task or None,
        )
        messages = [_inspect_message(_attached(m, attachments)) for m in objects(row.get("messages"))]
        return calls_or_skip(messages, context, known)

    def _event(
        self,
        event: dict[str, Any],
        id_: str,
        episode: str,
        outcome: Outcome | None,
        task: str,
        step: int,
        context: ImportContext,
    ) -> Parsed:
        output = mapping(event.get("output")) or {}
        choices = output.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
        time = side.number(output.get("time"))
        config = mapping(event.get("config")) or {}
        given = event.get("input")
        asked = [_inspect_message(m) for m in given] if isinstance(given, list) else given
        known = KnownFields(
            id=id_,
            agent=task or None,
            episode=episode,
            group=f"{task}:{episode.rsplit('-', 1)[0]}" if task else episode.rsplit("-", 1)[0],
            step=step,
            user="",
            model=side.text((output, event), ("model",)) or None,
            tools=event.get("tools") or None,
            tool_choice=event.get("tool_choice") if event.get("tools") else None,
            params={k: v for k, v in config.items() if v is not None},
            outcome=outcome,
            usage=side.usage_of(output.get("usage")),
            latency_ms=round(time * 1000, 3) if time is not None else None,
            timestamp=side.timestamp((event,)),
            finish_reason=side.text((choice,), ("stop_reason",)) or None,
            status=side.status_of_error(event["error"]) if event.get("error") else 200,
        )
        try:
            return as_list(
                exchange_calls(
                    {}, {"messages": asked}, _inspect_message(choice.get("message")), context, known
                )
            )
        except Unreadable as why:
            return context.skip(str(why))


def _inspect_message(message: Any) -> Any:
    """A message without the notes that Inspect keeps in it."""
    kept = ("role", "content", "tool_calls", "tool_call_id", "function", "name")
    return {k: message[k] for k in kept if k in message} if isinstance(message, dict) else message


def _score(name: str, score: dict[str, Any]) -> Outcome | None:
    """The score of a sample: C, I and P stand for correct, incorrect and partial."""
    value = score.get("value")
    letters = {"C": 1.0, "I": 0.0, "P": 0.5, "N": 0.0}
    if isinstance(value, str) and value in letters:
        return Outcome(reward=letters[value], success=value == "C", metric=name)
    return _outcome(value, name)


def _attached(value: Any, attachments: dict[str, Any]) -> Any:
    """A value in which long texts, which a sample keeps apart, are put back."""
    if isinstance(value, str):
        return (
            attachments.get(value.removeprefix("attachment://"), value)
            if value.startswith("attachment://")
            else value
        )
    if isinstance(value, list):
        return [_attached(item, attachments) for item in value]
    if isinstance(value, dict):
        return {k: _attached(v, attachments) for k, v in value.items()}
    return value


class OpenhandsImporter:
    """Events of OpenHands: a trajectory, a file of single events, or the output of its resolver."""

    name = "openhands"
    description = "OpenHands trajectories and resolver output (no system prompt in them)"
    marks = frozenset(("action", "observation", "history"))

    def sniff(self, row: dict[str, Any]) -> bool:
        if "source" in row and "id" in row and ("action" in row or "observation" in row):
            return True
        history = row.get("history")
        return isinstance(history, list) and "instruction" in row and "git_patch" in row

    def parse(self, row: dict[str, Any], context: ImportContext) -> Parsed:
        return parse_alone(self, row, context)

    def joiner(self) -> _OpenhandsJoiner:
        return _OpenhandsJoiner()


class _OpenhandsJoiner:
    MAX_EVENTS = 50_000

    def __init__(self) -> None:
        self._context: ImportContext | None = None
        self._events: list[dict[str, Any]] = []

    def add(self, row: dict[str, Any], context: ImportContext) -> Sequence[Call | Skip]:
        done: list[Call | Skip] = []
        history = row.get("history")
        if isinstance(history, list):
            success = row.get("success")
            outcome = Outcome(success=success, metric="success") if isinstance(success, bool) else None
            done += _openhands_calls([e for e in history if isinstance(e, dict)], outcome, context)
            return done
        if self._context is not None and self._context.file != context.file:
            done += self.finish()
        self._context = self._context or context
        if len(self._events) >= self.MAX_EVENTS:
            return [*done, context.skip("a run of more events than are kept")]
        self._events.append(row)
        return done

    def finish(self) -> Sequence[Call | Skip]:
        context, events = self._context, self._events
        self._context, self._events = None, []
        return [] if context is None else _openhands_calls(events, None, context)


def _openhands_calls(
    events: Sequence[dict[str, Any]], outcome: Outcome | None, context: ImportContext
) -> list[Call | Skip]:
    """Calls of a run. The replies are whole where the events keep them; the prompts lack the system prompt."""
    messages: list[dict[str, Any]] = []
    calls: list[Call | Skip] = []
    seen: set[str] = set()
    run = ""
    for event in events:
        metadata = mapping(event.get("tool_call_metadata")) or {}
        reply = mapping(metadata.get("model_response"))
        if reply is not None and str(reply.get("id")) not in seen and "observation" not in event:
            seen.add(str(reply.get("id")))
            run = run or f"run-{reply.get('id')}"
            known = KnownFields(
                id=str(reply.get("id") or ""),
                episode=run,
                step=len(calls),
                user="",
                outcome=outcome,
                timestamp=side.timestamp((event,)),
            )
            if messages:
                try:
                    found = exchange_calls({}, {"messages": list(messages)}, reply, context, known)
                    call = found if isinstance(found, Call) else found[0]
                    calls.append(call)
                    if isinstance(call, Call):
                        messages.append(call.response)
                except Unreadable as why:
                    calls.append(context.skip(str(why)))
        elif "observation" in event and isinstance(metadata.get("tool_call_id"), str):
            messages.append(
                {
                    "role": "tool",
                    "tool_call_id": metadata["tool_call_id"],
                    "content": as_text(event.get("content")),
                }
            )
        else:
            message = _openhands_message(event)
            if message is not None:
                messages.append(message)
    return calls or [context.skip("a run of OpenHands that keeps the actions but not the model's replies")]


def _openhands_message(event: dict[str, Any]) -> dict[str, Any] | None:
    """An event as a message to the agent; None for an event that is none."""
    args = mapping(event.get("args")) or event
    text = as_text(args.get("content"))
    if event.get("action") not in ("message", "system") or event.get("source") == "agent" or not text:
        return None
    return {"role": "system" if event["action"] == "system" else "user", "content": text}


class AtifImporter:
    """A trajectory in the Agent Trajectory Interchange Format."""

    name = "atif"
    description = "ATIF trajectories (Harbor, terminal-bench)"
    marks = frozenset(("steps",))

    def sniff(self, row: dict[str, Any]) -> bool:
        return isinstance(row.get("steps"), list) and (
            str(row.get("schema_version") or "").startswith("ATIF") or "agent" in row
        )

    def parse(self, row: dict[str, Any], context: ImportContext) -> Parsed:
        agent = mapping(row.get("agent")) or {}
        messages: list[dict[str, Any]] = []
        for step in objects(row.get("steps")):
            messages += _atif_messages(step)
        name = as_text(row.get("session_id"))
        known = KnownFields(
            id=name,
            agent=side.text((agent,), ("name",)) or None,
            episode=name,
            user="",
            model=side.text((agent,), ("model_name", "model")) or None,
            tools=agent.get("tool_definitions"),
        )
        return calls_or_skip(messages, context, known)


def _atif_messages(step: dict[str, Any]) -> list[dict[str, Any]]:
    role = {"agent": "assistant", "user": "user", "system": "system"}.get(str(step.get("source")), "user")
    message: dict[str, Any] = {"role": role, "content": step.get("message")}
    if role != "assistant":
        return [message] if message["content"] else []
    calls = objects(step.get("tool_calls"))
    if calls:
        message["tool_calls"] = [
            {"id": c.get("tool_call_id"), "name": c.get("function_name"), "arguments": c.get("arguments")}
            for c in calls
        ]
    if isinstance(step.get("reasoning_content"), str):
        message["reasoning_content"] = step["reasoning_content"]
    metrics = mapping(step.get("metrics")) or {}
    message |= {"usage": metrics} | ({"timestamp": step["timestamp"]} if "timestamp" in step else {})
    if isinstance(step.get("model_name"), str):
        message["model"] = step["model_name"]
    observation = mapping(step.get("observation")) or {}
    results = objects(observation.get("results"))
    told = [
        {
            "role": "tool",
            "tool_call_id": r.get("source_call_id")
            or (calls[n].get("tool_call_id") if n < len(calls) else ""),
            "content": as_text(r.get("content")),
        }
        for n, r in enumerate(results)
    ]
    return [message, *told]


class BfclImporter:
    """Results of the Berkeley Function Calling Leaderboard."""

    name = "bfcl"
    description = "BFCL results with their inference log"
    marks = frozenset(("inference_log",))

    def sniff(self, row: dict[str, Any]) -> bool:
        return "inference_log" in row and "result" in row

    def parse(self, row: dict[str, Any], context: ImportContext) -> Parsed:
        log = row.get("inference_log")
        asked = (
            next(
                (
                    mapping(e.get("content"))
                    for e in log
                    if isinstance(e, dict) and e.get("role") == "inference_input"
                ),
                None,
            )
            if isinstance(log, list)
            else None
        )
        if asked is None:
            return context.skip("a result without the prompt in its inference_log")
        messages = asked.get("message")
        if isinstance(messages, str):
            messages = _python_literal(messages)
        results = row.get("result")
        calls = (
            [
                {"name": name, "arguments": arguments}
                for r in results
                if isinstance(r, dict)
                for name, arguments in r.items()
            ]
            if isinstance(results, list)
            else []
        )
        response: Any = (
            {"role": "assistant", "content": None, "tool_calls": calls} if calls else as_text(results)
        )
        latency = side.number(row.get("latency"))
        known = KnownFields(
            id=as_text(row.get("id")),
            tools=asked.get("tools"),
            usage=side.row_usage(row),
            latency_ms=round(latency * 1000, 3) if latency is not None else None,
        )
        try:
            return exchange_calls({}, {"messages": messages}, response, context, known)
        except Unreadable as why:
            return context.skip(str(why))


def _python_literal(text: str) -> Any:
    """Messages that the benchmark prints as Python's own notation; the text where they are none."""
    import ast

    if len(text) > 1_000_000:
        return text
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
