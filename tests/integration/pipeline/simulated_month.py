"""A month of one task under the gateway's own parts: 100,000 calls by a manual clock, with what happens in a month.

Routing, audits, evidence, promotion, rollback and publication are the real ones, and so is the test behind each
certificate. Simulated are the LLM, the specialists (their errors are known, so the true loss is) and their training.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

import numpy as np
from tests.unit.gateway.stubs import (
    JSON,
    CannedResponse,
    CountingAuthenticator,
    DictConversations,
    ListRecorder,
    completion_body,
    context,
    exchange,
    telemetry,
    upstream,
)

from deputize.core.config import RouteSettings
from deputize.core.errors import UpstreamError
from deputize.core.records import (
    Certificate,
    Contract,
    KeySpace,
    Prediction,
    PromptLimits,
    Request,
    Route,
    RouteFile,
    TextLimits,
)
from deputize.core.signature import signature
from deputize.core.template_key import TemplateMatcher
from deputize.gateway.audits import Auditor
from deputize.gateway.metrics import Metrics
from deputize.gateway.model_calls import ModelCallHandler
from deputize.gateway.rollback import RouteMonitor
from deputize.gateway.routing import RoutingDecider
from deputize.gateway.settlement import Settlement
from deputize.gateway.upstream_sender import UpstreamSender
from deputize.home import Home
from deputize.pipeline.publication import publish_routes
from deputize.router.table import RouteTable
from deputize.routes_file import read_routes
from deputize.scoring import certificates as cert
from deputize.upstreams.failover import RetryConfig, UpstreamPool

N_CALLS = 100_000
DAYS = 30
SECONDS_PER_CALL = DAYS * 86_400 / N_CALLS
EPSILON, DELTA, AUDIT_SHARE = 0.05, 0.05, 0.02
LABELS = ["refund", "delivery", "invoice", "praise"]
SYSTEM = "You sort letters.\nAnswer with one word."
NEW_SYSTEM = "You sort letters.\nAnswer with one word.\nLetters may be in any language."


def unit(*parts: object) -> float:
    """A number in [0, 1) that depends on the parts only."""
    text = "\x1f".join(map(str, parts)).encode()
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big") / 2**64


@dataclass
class Regime:
    """How the LLM answers: `shift` is the share of letters that it sorts otherwise than at first."""

    system: str = SYSTEM
    shift: float = 0.0

    def answer(self, case: int) -> str:
        """The LLM's answer to a letter."""
        at = int(4 * unit("label", case))
        if unit("shifted", case) < self.shift:
            at += 1
        return LABELS[at % 4]


@dataclass(frozen=True)
class Version:
    """A specialist: it was trained on how the LLM answered then, and errs on some letters."""

    name: str
    shift: float
    error: float
    """Of the letters that it is confident about."""
    error_live: float | None = None
    """What it is in service, where its files were spoilt after it was certified; None: as certified."""

    def predict(self, case: int, *, live: bool = True) -> Prediction:
        """Confident about nine letters in ten."""
        error = self.error_live if live and self.error_live is not None else self.error
        answer = Regime(shift=self.shift).answer(case)
        if unit("wrong", self.name, case) < error:
            answer = LABELS[(LABELS.index(answer) + 2) % 4]
        confidence = 0.95 if unit("easy", case) < 0.9 else 0.3
        return Prediction(answer=answer, confidence=confidence, latency_ms=3.0)


@dataclass
class Month:
    """The month under way."""

    folder: Path
    seed: int
    regime: Regime = field(default_factory=Regime)
    is_down: bool = False
    """The LLM cannot be reached."""
    n_calls: int = 0
    versions: dict[str, Version] = field(default_factory=dict)
    n_runs: int = 0
    reasons: list[Counter[str]] = field(default_factory=list)
    """Reasons of decisions, a thousand calls each."""
    true_loss: list[float] = field(default_factory=list)
    """Of the traffic by the routes in force, call by call."""
    n_audits: list[int] = field(default_factory=list)
    """Audits of calls that were served, so far."""
    n_served: int = 0
    n_wrong: int = 0
    n_unanswered: int = 0

    def __post_init__(self) -> None:
        rng = random.Random(self.seed)
        self._rng = rng
        self.home = Home(self.folder, clock=self.now)
        self._losses: dict[tuple[str, float], float] = {}
        self._recorder, self._metrics = ListRecorder(), Metrics()
        self._table: RouteTable | None = None
        life = RouteSettings()
        settlement = Settlement(
            recorder=self._recorder,
            conversations=DictConversations(),
            authenticator=CountingAuthenticator(),
            metrics=self._metrics,
            telemetry=telemetry(self._metrics),
            shadow_wait_s=5.0,
            clock_s=self.now,
        )
        sender = UpstreamSender(
            UpstreamPool([upstream(self)], RetryConfig(attempts=1, break_after=10**9)),  # type: ignore[arg-type]
            self._metrics,
            ask_for_usage=False,
            max_answer_bytes=10_000,
        )
        monitor = RouteMonitor(
            self.home.path,
            self.home.audit,
            self._metrics,
            audit_share=AUDIT_SHARE,
            seal=self.home.routes_seal,
            evidence_seal=self.home.evidence_seal,
            on_change=self._load,
            life=life,
            episode_key=b"month",
            clock=self.now,
        )
        self._auditor = Auditor(
            sender=sender,
            settlement=settlement,
            observer=monitor,
            metrics=self._metrics,
            clock_s=self.now,
            clock=self.now,
            draw=rng.random,
        )
        self._handler = ModelCallHandler(
            recorder=self._recorder,
            conversations=DictConversations(),
            routing=RoutingDecider(
                lambda: self._table,
                self,
                self._metrics,
                timeout_s=5.0,
                clock_s=self.now,
                audit_share=AUDIT_SHARE,
                life=life,
                wall_clock_s=self.now,
            ),
            sender=sender,
            settlement=settlement,
            auditor=self._auditor,
            max_answer_bytes=10_000,
            clock_s=self.now,
        )

    # --- the LLM and the specialists ---

    async def send(self, method: str, url: str, headers: Any, body: bytes, **limits: Any) -> CannedResponse:
        """The LLM, as a transport."""
        if self.is_down:
            raise UpstreamError("the LLM cannot be reached")
        return CannedResponse(
            200, JSON, completion_body(self.regime.answer(case_of(json.loads(body)["messages"])))
        )

    async def close(self) -> None: ...

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def predict(self, specialist_path: str, request: Request, timeout_s: float) -> Prediction:
        """The specialists, as an engine."""
        return self.versions[specialist_path].predict(case_of(request.messages))

    # --- time ---

    def now(self) -> float:
        """Unix seconds, which the calls move on."""
        return 1.7e9 + self.n_calls * SECONDS_PER_CALL

    async def calls(self, until: int) -> None:
        """The agent's calls up to a number."""
        while self.n_calls < until:
            if self.n_calls % 1000 == 0:
                self.reasons.append(Counter())
            await self._call()

    async def _call(self) -> None:
        case = self.n_calls
        self.true_loss.append(self._true_loss())
        self.n_audits.append(self._n_audited())
        messages = [
            {"role": "system", "content": self.regime.system},
            {"role": "user", "content": f"Letter: {case}"},
        ]
        asked = exchange(
            {"model": "m", "messages": messages},
            context=context(
                id=f"c{case:06d}", episode=f"e{case // 2}", arrived_at=self.now(), started=self.now()
            ),
        )
        reply = await self._handler.answer(asked)
        decision = asked.routing.decision
        self.reasons[-1][decision.reason if reply.status < 400 else "unanswered"] += 1
        self.n_unanswered += reply.status >= 400
        if decision.served_by == "slm" and asked.routing.prediction is not None:
            self.n_served += 1
            self.n_wrong += asked.routing.prediction.answer != self.regime.answer(case)
        await self._auditor.finish(60)
        self._recorder.calls.clear()
        self._recorder.intents.clear()
        self.n_calls += 1

    # --- conversions ---

    def convert(self, version: Version, n_units: int = 700) -> bool:
        """A run: certifies a version on letters of today, and publishes it. False where it is refused."""
        self.n_runs += 1
        run_id = f"{self.n_runs:04d}"
        path = f"runs/{run_id}/specialists/letters-{version.name}"
        self.versions[path] = version
        cases = [10**9 + self.n_runs * 10**6 + i for i in range(n_units)]
        said = [version.predict(case, live=False) for case in cases]
        sequence = cert.certify(
            "not_worse_than_llm",
            np.array([p.confidence for p in said]),
            np.array([p.answer != self.regime.answer(c) for p, c in zip(said, cases, strict=True)]),
            [0.9],
            EPSILON,
            DELTA,
            served_limit=3 * EPSILON,
        )
        if not sequence.n_passed:
            return False
        request = Request(
            messages=[
                {"role": "system", "content": self.regime.system},
                {"role": "user", "content": "Letter: 1"},
            ]
        )
        space = KeySpace(
            signature=signature(request), lines=self.regime.system.splitlines(), heads=["letter:"]
        )
        key = TemplateMatcher(space).key(request)
        limits = PromptLimits(system=TextLimits(n_unknown=[0] * (len(space.lines) + 1)))
        certificate = Certificate(
            id=f"cert-{run_id}",
            kind="not_worse_than_llm",
            epsilon=EPSILON,
            delta=DELTA,
            n_calibration=n_units,
            n_served=int(sequence.n_served_L[0]),
            n_errors=int(sequence.n_errors_L[0]),
            threshold=0.9,
            share_served=float(sequence.n_served_L[0]) / n_units,
            served_limit=3 * EPSILON,
            p_value=float(sequence.p_values_L[0]),
            created_s=self.now(),
            renew_after_days=90.0,
            claim="simulated",
        )
        route = Route(
            id="route-letters",
            task_id="letters",
            task_name="letters",
            keys=[key],
            contract=Contract(kind="label", labels=LABELS),
            specialist=path,
            threshold=0.9,
            certificate=certificate,
        )
        space = KeySpace(
            signature=space.signature, lines=space.lines, heads=space.heads, prompt_limits={key: limits}
        )
        publish_routes(self.home, RouteFile(run_id=run_id, keyspaces=[space], routes=[route]), [])
        self._load()
        return True

    def _load(self) -> None:
        self._table = RouteTable.build(read_routes(self.home.routes_path))

    # --- what is true ---

    def routes(self) -> RouteFile:
        """The route file in force."""
        return self._table.file if self._table is not None else RouteFile(run_id="")

    def _true_loss(self) -> float:
        """Expected loss of a call of today by the routes in force, over all calls."""
        if self._table is None:
            return 0.0
        request = Request(
            messages=[
                {"role": "system", "content": self.regime.system},
                {"role": "user", "content": "Letter: 1"},
            ]
        )
        found = self._table.match(request)
        share = 0.0
        loss = 0.0
        if found.challenger is not None and found.challenger.state == "canary":
            share = found.challenger.share
            loss = share * self._loss(found.challenger)
        if found.route is not None and found.route.state in ("live", "canary"):
            own = found.route.share if found.route.state == "canary" else 1.0
            loss += (1 - share) * own * self._loss(found.route)
        return loss

    def _loss(self, route: Route) -> float:
        version = self.versions[route.specialist]
        key = (version.name, self.regime.shift)
        if key not in self._losses:
            cases = range(2 * 10**9, 2 * 10**9 + 20_000)
            said = [(version.predict(case), case) for case in cases]
            wrong = sum(p.confidence >= 0.9 and p.answer != self.regime.answer(c) for p, c in said)
            self._losses[key] = wrong / len(said)
        return self._losses[key]

    def _n_audited(self) -> int:
        return int(self._metrics.value("deputize_audits_total"))


def case_of(messages: list[dict[str, Any]]) -> int:
    """The number of the letter in a request."""
    return int(messages[-1]["content"].partition(": ")[2])


EVENTS: list[tuple[int, str, Callable[[Month], object]]] = [
    (5_000, "first conversion", lambda m: m.convert(Version("v1", shift=0.0, error=0.01))),
    (
        25_000,
        "second conversion, a better specialist",
        lambda m: m.convert(Version("v2", shift=0.0, error=0.005)),
    ),
    (
        40_000,
        "third conversion, files spoilt after it was certified",
        lambda m: m.convert(Version("v3", shift=0.0, error=0.005, error_live=0.3)),
    ),
    (50_000, "the LLM cannot be reached", lambda m: setattr(m, "is_down", True)),
    (50_600, "the LLM answers again", lambda m: setattr(m, "is_down", False)),
    (
        58_000,
        "the LLM sorts a third of the letters otherwise",
        lambda m: setattr(m, "regime", Regime(shift=0.35)),
    ),
    (64_000, "fourth conversion", lambda m: m.convert(Version("v4", shift=0.35, error=0.01))),
    (82_000, "the agent's prompt changes", lambda m: setattr(m, "regime", Regime(NEW_SYSTEM, 0.35))),
    (84_000, "fifth conversion", lambda m: m.convert(Version("v5", shift=0.35, error=0.01))),
]
"""(call, what happens, how)"""


async def simulate(folder: Path, seed: int = 1) -> Month:
    """The whole month."""
    month = Month(folder, seed)
    for at, _, happens in EVENTS:
        await month.calls(at)
        happens(month)
    await month.calls(N_CALLS)
    return month
