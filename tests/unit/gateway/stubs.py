"""Parts of the gateway in memory, for the unit tests of this folder."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

from deputize.core.errors import StoreError, UpstreamError
from deputize.core.records import Call, Certificate, Contract, KeySpace, Route, RouteFile, Usage
from deputize.gateway.auth import NOTHING_RESERVED, Caller, Reservation
from deputize.gateway.call_telemetry import CallTelemetry
from deputize.gateway.context import Context
from deputize.gateway.conversations import Conversation
from deputize.gateway.exchange import Exchange
from deputize.gateway.metrics import Metrics
from deputize.gateway.rollback import DueAudit
from deputize.gateway.settlement import Settlement
from deputize.gateway.upstream_sender import UpstreamSender
from deputize.http.headers import Headers
from deputize.privacy.masking.found_values import Findings, Line
from deputize.privacy.scan.ensemble import Finding
from deputize.routes_file import write_routes
from deputize.scoring.costs import load_prices
from deputize.store.access.roles import Right
from deputize.store.recording.journal import Intent
from deputize.store.recording.recorder import RecorderStats
from deputize.upstreams.failover import RetryConfig, UpstreamPool
from deputize.upstreams.upstream import Upstream
from deputize.upstreams.upstream_config import UpstreamConfig
from deputize.wire.dialect import Dialect
from deputize.wire.registry import CHAT

CALL = b'{"model":"m","messages":[{"role":"user","content":"q"}]}'
OURS = {"host": "127.0.0.1:8790", "content-type": "application/json"}
"""Request headers that a gateway without keys takes."""
JSON: Headers = [("content-type", "application/json")]
SSE: Headers = [("content-type", "text/event-stream")]


class ListRecorder:
    """Keeps calls in a list; raises StoreError while `full`."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.abandoned: list[str] = []
        self.intents: list[Intent] = []
        self.full = False

    def admit(self) -> None:
        self._check()

    def begin(self, *intents: Intent) -> None:
        self.intents.extend(intents)

    def abandon(self, call_id: str) -> None:
        self.abandoned.append(call_id)

    async def record(self, call: Call) -> None:
        self.record_now(call)

    def record_now(self, call: Call) -> None:
        self._check()
        self.calls.append(call)

    def _check(self) -> None:
        if self.full:
            raise StoreError("The store is full.")

    async def add_feedback(self, **feedback: Any) -> None:
        self.feedback = feedback

    async def knows_call(self, call_id: str) -> bool:
        return call_id in {call.id for call in self.calls}

    async def knows_episode(self, tenant: str, episode: str) -> bool:
        return any(call.episode == episode and tenant in ("", call.tenant) for call in self.calls)

    def counts(self) -> Mapping[str, float]:
        return {"queued": len(self.calls), "pending": 0}

    def stats(self) -> RecorderStats:
        return RecorderStats()


class DictConversations:
    """Keeps conversations in a dictionary."""

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], Conversation] = {}

    async def get(self, tenant: str, response_id: str) -> Conversation | None:
        return self.kept.get((tenant, response_id))

    async def put(self, context: Context, response_id: str, conversation: Conversation, earlier: str) -> None:
        self.kept[context.tenant, response_id] = conversation


class CountingAuthenticator:
    """Lets everybody in and remembers what was charged."""

    def __init__(self) -> None:
        self.charged: list[tuple[str, Usage]] = []

    def authenticate(self, headers: Mapping[str, str], right: Right) -> Caller:
        return Caller()

    async def take_turn(self, caller: Caller) -> None:
        return None

    async def admit_call(self, caller: Caller, model: str, usage: Usage) -> Reservation:
        return NOTHING_RESERVED

    def release(self, reservation: Reservation) -> None:
        return None

    def charge(self, caller: Caller, model: str, usage: Usage) -> None:
        self.charged.append((model, usage))


class CannedResponse:
    """A response made beforehand, read in the given pieces."""

    def __init__(self, status: int, headers: Headers | None = None, *pieces: bytes) -> None:
        self.status, self.headers, self.pieces, self.closed = status, headers or [], pieces, False

    async def read(self) -> bytes:
        return b"".join(self.pieces)

    async def chunks(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            yield piece

    async def wait_for_piece(self, until_s: float) -> bool:
        return True

    def close(self) -> None:
        self.closed = True


class CannedTransport:
    """Gives responses, or raises errors, in turn; the last one for ever."""

    def __init__(self, *answers: CannedResponse | UpstreamError) -> None:
        self.answers = list(answers)
        self.sent: list[tuple[str, Headers, bytes]] = []

    async def send(
        self, method: str, url: str, headers: Headers, body: bytes, **limits: float | None
    ) -> CannedResponse:
        self.sent.append((url, headers, body))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, UpstreamError):
            raise answer
        return answer

    async def close(self) -> None:
        return None


def upstream(transport: CannedTransport, name: str = "u0", **config: Any) -> Upstream:
    """An upstream behind a canned transport."""
    return Upstream(
        UpstreamConfig.model_validate({"name": name, "base_url": f"http://{name}/v1", **config}), transport
    )


def pool(*members: Upstream) -> UpstreamPool:
    """Upstreams that are asked once each."""
    return UpstreamPool(list(members), RetryConfig(attempts=1))


def sender(*members: Upstream, metrics: Metrics | None = None, ask_for_usage: bool = True) -> UpstreamSender:
    """A sender to such upstreams."""
    return UpstreamSender(
        pool(*members), metrics or Metrics(), ask_for_usage=ask_for_usage, max_answer_bytes=10_000
    )


def telemetry(metrics: Metrics | None = None) -> CallTelemetry:
    """Counts calls at the prices of the public list."""
    return CallTelemetry(metrics or Metrics(), load_prices())


class Settled:
    """A settlement with its parts in memory."""

    def __init__(self) -> None:
        self.recorder, self.conversations = ListRecorder(), DictConversations()
        self.authenticator, self.metrics = CountingAuthenticator(), Metrics()
        self.settlement = Settlement(
            recorder=self.recorder,
            conversations=self.conversations,
            authenticator=self.authenticator,
            metrics=self.metrics,
            telemetry=telemetry(self.metrics),
            shadow_wait_s=0.2,
            clock_s=perf_counter,
        )


class ListObserver:
    """Keeps the results of audits, and how many calls had been recorded by then."""

    def __init__(self, parts: Settled) -> None:
        self.results: list[str | None] = []
        self.n_recorded: list[int] = []
        self._parts = parts

    async def observe(self, outcome: DueAudit) -> None:
        await asyncio.sleep(0)
        self.results.append(outcome.result)
        self.n_recorded.append(len(self._parts.recorder.calls))


def context(**more: Any) -> Context:
    """The context of a call that has just arrived."""
    return Context(**{"id": "dpz-1", "arrived_at": 1000.0, "started": perf_counter(), **more})


def exchange(fields: dict[str, Any] | None = None, dialect: Dialect = CHAT, **more: Any) -> Exchange:
    """An exchange that has just begun."""
    fields = fields or {"model": "m", "messages": [{"role": "user", "content": "q"}]}
    given = {
        "context": context(),
        "dialect": dialect,
        "fields": fields,
        "chat": dialect.to_chat(fields),
        "body": json.dumps(fields).encode(),
        "outgoing": fields,
        "headers": {},
        "model": "m",
        "stream": bool(fields.get("stream")),
    }
    return Exchange(**{**given, **more})


def completion_body(text: str = "Hello.", finish: str = "stop") -> bytes:
    """A whole chat completion."""
    message = {"role": "assistant", "content": text}
    choice = {"index": 0, "message": message, "finish_reason": finish}
    usage = {"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7}
    return json.dumps({"id": "chatcmpl-up", "model": "m", "choices": [choice], "usage": usage}).encode()


def chunk(delta: dict[str, Any], finish: str | None = None) -> bytes:
    """One frame of a chat stream."""
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + json.dumps({"id": "c", "model": "m", "choices": [choice]}).encode() + b"\n\n"


def live_route(**changed: Any) -> Route:
    """A live route to a specialist that says rain or sun."""
    certificate = Certificate(
        id="c",
        kind="not_worse_than_llm",
        epsilon=0.02,
        delta=0.05,
        n_calibration=300,
        threshold=0.5,
        share_served=0.9,
        p_value=0.01,
        claim="agrees",
    )
    fields: dict[str, Any] = {
        "id": "r",
        "task_id": "t",
        "task_name": "t",
        "keys": ["k"],
        "contract": Contract(kind="label", labels=["rain", "sun"]),
        "specialist": "s",
        "threshold": 0.5,
        "state": "live",
        "certificate": certificate,
    }
    return Route(**{**fields, **changed})


def publish_route(path: Path) -> None:
    """Writes a route file with that route."""
    write_routes(path, RouteFile(run_id="1", keyspaces=[KeySpace(signature="s")], routes=[live_route()]))


class WordDetector:
    """Finds some words, an address and a card, in place of the process with the detectors."""

    def __init__(self, wait_s: float = 0.0) -> None:
        self.asked: list[Line] = []
        self._wait_s = wait_s
        self.running = False

    async def start(self) -> None:
        self.running = True

    async def stop(self) -> None:
        self.running = False

    async def detect(self, lines: Sequence[Line]) -> list[Findings]:
        if self._wait_s:
            await asyncio.sleep(self._wait_s)
        self.asked += lines
        patterns = (
            ("PERSON", r"Anna(?: Miller)?|Bob"),
            ("EMAIL_ADDRESS", r"[a-z.]+@[a-z.]+"),
            ("CREDIT_CARD", r"4111[\d ]+\d"),
        )
        return [
            tuple(Finding(kind, m, 0.9) for kind, pattern in patterns for m in re.findall(pattern, line))
            for line, _ in lines
        ]
