"""Assembles the parts of one process's gateway for a home, and takes them down again."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable
from pathlib import Path
from time import perf_counter

from deputize.core.errors import DeputizeError
from deputize.core.records import Usage
from deputize.core.version import VERSION
from deputize.gateway.app import Gateway
from deputize.gateway.audit_judge import AuditJudge
from deputize.gateway.audits import Auditor
from deputize.gateway.auth import ApiKeyAuthenticator, Authenticator
from deputize.gateway.call_telemetry import CallTelemetry
from deputize.gateway.conversations import SealedConversations
from deputize.gateway.denials import DenialLog
from deputize.gateway.live_masking import make_masker
from deputize.gateway.metrics import Metrics
from deputize.gateway.metrics_files import MetricsFiles
from deputize.gateway.model_calls import ModelCallHandler
from deputize.gateway.page_process import PageProcess
from deputize.gateway.pointer_follower import PointerFollower
from deputize.gateway.protocols import RouteLookup
from deputize.gateway.rollback import RouteMonitor
from deputize.gateway.route_watcher import RouteWatcher
from deputize.gateway.routing import RoutingDecider
from deputize.gateway.settings import GatewaySettings
from deputize.gateway.settlement import Settlement
from deputize.gateway.span_sender import started_sender
from deputize.gateway.upstream_sender import UpstreamSender
from deputize.gateway.worker_metrics import note_engine
from deputize.home import Home
from deputize.http.aiohttp_client import AiohttpTransport
from deputize.http.client import Http1Transport
from deputize.http.transport import Transport
from deputize.scoring.costs import load_prices, spend_of
from deputize.specialists.serving.base import Engine
from deputize.specialists.serving.host_messages import PURPOSE
from deputize.specialists.serving.hosts_engine import HostsEngine
from deputize.specialists.serving.registry import make_engine
from deputize.store.recording.journal_writer import JournalWriter
from deputize.store.recording.recorder import Recorder
from deputize.upstreams.failover import UpstreamPool
from deputize.upstreams.upstream import Upstream
from deputize.upstreams.upstream_config import UpstreamConfig, judge_upstream
from deputize.web.sessions import Sessions
from deputize.web.sign_in import KeySignIn

log = logging.getLogger("deputize.gateway")

AUDIT_WAIT_S = 5.0
"""How long audits under way may hold up the end of the gateway."""


class RunningGateway:
    """Everything one process holds while it serves a home."""

    def __init__(
        self,
        home: Path,
        settings: GatewaySettings,
        specialists: Engine | None = None,
        *,
        n_workers: int = 1,
        keys_required: bool | None = None,
        clock: Callable[[], float] = time.time,
        journal_writer: JournalWriter | None = None,
        metrics_folder: Path | None = None,
    ) -> None:
        """
        Args:
            home: the home folder.
            settings: checked settings with at least one upstream.
            specialists: the client that asks tuned models; None: the local worker pool, started with the first route.
            n_workers: processes that share the keys' rate limits.
            keys_required: a request needs an API key; None: as the settings say.
            clock: Unix seconds.
            journal_writer: the process that writes to the store; None: a thread of this one does.
            metrics_folder: where the workers of one gateway share their metrics; None: they are this process's alone.
        """
        self._journal_writer = journal_writer
        self._metrics_files = MetricsFiles(metrics_folder) if metrics_folder is not None else None
        self._home = home
        self._settings = settings
        self._specialists = specialists
        self._n_workers, self._keys_required, self._clock = n_workers, keys_required, clock
        self._transports: dict[str, Transport] = {}
        self.metrics = Metrics()
        self.metrics.set("deputize_build_info", 1.0, (("version", VERSION),))
        self.metrics.set("deputize_workers", 1.0)
        self.gateway: Gateway

    async def start(self) -> Gateway:
        """Opens the store, loads routes, starts the worker pool.

        Raises:
            StoreError, Tampered: the home cannot be used.
            UsageError: an upstream's key is missing.
        """
        settings, home = self._settings, Home(self._home, falls_back=True)
        self._store = home.store
        self._recorder = self._started_recorder(home)
        self._conversations = SealedConversations(home.conversations())
        self._routes, self._pointer = self._route_watcher(home)
        if self._specialists is None:
            self._specialists = self._made_engine(home)
        self._starting: asyncio.Task[None] | None = None
        self._is_up = False
        self._life = home.route_settings()
        self._masker = make_masker(home)
        self._audit_judge = self._made_judge(home)
        self._prices = load_prices(self._home, home.own_prices())
        self._monitor = self._route_monitor(home)
        await self._pointer.start()
        await self._routes.start(self._on_routes)
        if self._masker is not None:
            await self._masker.start()
        self._spans = started_sender(self.metrics, settings)
        self._telemetry = CallTelemetry(self.metrics, self._prices, self._spans)
        authenticator = self._authenticator(home)
        self._denials = DenialLog(home.audit)
        self._pages = self._page_process(home) if settings.ui else None
        upstreams = UpstreamPool(
            [Upstream(c, self._transport_for(c)) for c in settings.upstreams],
            settings.retry,
            on_event=self._count_upstream_event,
        )
        self.gateway = Gateway(
            settings=settings,
            live=self._live(upstreams, authenticator),
            upstreams=upstreams,
            recorder=self._recorder,
            metrics=self.metrics,
            pseudonym=home.keyring.pseudonym,
            telemetry=self._telemetry,
            gather_metrics=self._metrics_files.gather if self._metrics_files is not None else None,
            authenticator=authenticator,
            clock=self._clock,
            note_denial=self._denials.note,
            conversations=self._conversations,
            recording=home.recording(),
            masker=self._masker,
            pages=self._pages,
            refresh=lambda: note_engine(self.metrics, self._specialists),
        )
        if self._metrics_files is not None:
            self._metrics_files.start(self.metrics, self.gateway.refresh_metrics)
        self._is_up = True
        return self.gateway

    def _started_recorder(self, home: Home) -> Recorder:
        settings = self._settings
        return Recorder(
            self._store,
            home.keyring,
            self._home,
            durability=settings.durability,
            on_full=settings.on_full,
            window_ms=settings.relaxed_window_ms,
            block_timeout_s=settings.record_wait_s,
            journal_writer=self._journal_writer,
            spill_folder=Path(settings.spill_folder) if settings.spill_folder else None,
        ).start()

    def _route_watcher(self, home: Home) -> tuple[RouteWatcher, PointerFollower]:
        """Keeps the routes loaded, and takes over those that other homes publish."""
        routes = RouteWatcher(
            home.routes_path, self.metrics, poll_s=self._settings.route_poll_s, seal=home.routes_seal
        )
        return routes, PointerFollower(home.published, home.objects_settings(), routes.look, self.metrics)

    def _made_engine(self, home: Home) -> Engine:
        serving = home.serving_settings()
        if not serving.hosts:
            return make_engine(home.engine_settings(), home.path, home.models_path)
        secret = home.keyring.derive(PURPOSE)
        return HostsEngine(serving, secret, lambda: self._routes.versions, on_event=self._count_host_event)

    def _authenticator(self, home: Home) -> ApiKeyAuthenticator:
        self._keys, self._meter = home.api_keys, home.key_limits(self._n_workers)
        self._keys.trust_while(self._pointer.knows_keys)
        return ApiKeyAuthenticator(self._keys, self._meter, self._prices, required=self._requires_keys)

    def _page_process(self, home: Home) -> PageProcess:
        # from the keys of the home, so that every worker knows the sessions of the others
        sessions = Sessions(home.keyring.derive("dashboard sessions"), home.now)
        is_https = self._settings.scheme == "https"
        sign_in = KeySignIn(home.api_keys, sessions)
        return PageProcess(home.path, sign_in, is_https=is_https, note_denial=self._denials.note)

    def _route_monitor(self, home: Home) -> RouteMonitor:
        settings = self._settings
        return RouteMonitor(
            self._home,
            home.audit,
            self.metrics,
            audit_share=settings.audit_share,
            audits_per_false_rollback=settings.audits_per_false_rollback,
            on_change=self._routes.load,
            life=self._life,
            episode_key=home.keyring.derive("audited episodes"),
            seal=home.routes_seal,
            evidence_seal=home.evidence_seal,
            clock=self._clock,
        )

    def _live(self, upstreams: UpstreamPool, authenticator: Authenticator) -> ModelCallHandler:
        settings = self._settings
        max_answer_bytes = int(settings.max_answer_mb * 1024 * 1024)
        routing = RoutingDecider(
            self._table_in_force,
            self._specialists,
            self.metrics,
            timeout_s=settings.specialist_timeout_s,
            clock_s=perf_counter,
            audit_share=settings.audit_share,
            life=self._life,
            wall_clock_s=self._clock,
        )
        sender = UpstreamSender(
            upstreams,
            self.metrics,
            ask_for_usage=settings.ask_for_usage,
            max_answer_bytes=max_answer_bytes,
            masker=self._masker,
        )
        settlement = Settlement(
            recorder=self._recorder,
            conversations=self._conversations,
            authenticator=authenticator,
            metrics=self.metrics,
            telemetry=self._telemetry,
            shadow_wait_s=settings.shadow_wait_s,
            clock_s=perf_counter,
        )
        self._auditor = Auditor(
            price=self._price,
            sender=sender,
            settlement=settlement,
            observer=self._monitor,
            metrics=self.metrics,
            clock_s=perf_counter,
            clock=self._clock,
            judge=self._audit_judge,
        )
        return ModelCallHandler(
            recorder=self._recorder,
            conversations=self._conversations,
            routing=routing,
            sender=sender,
            settlement=settlement,
            auditor=self._auditor,
            max_answer_bytes=max_answer_bytes,
            clock_s=perf_counter,
        )

    def _table_in_force(self) -> RouteLookup | None:
        is_known = self._pointer.knows_routes() and not self._monitor.must_wait()
        return self._routes.table if is_known else None

    def _price(self, model: str, usage: Usage | None, specialist_ms: float) -> float:
        """US dollars of a call to the LLM, or of a specialist's time on all cores."""
        if usage is None:
            return self._prices.specialist_usd(specialist_ms / 1e3, os.cpu_count() or 1)
        return spend_of(model, usage, None, [], None, {}, self._prices).usd

    def _made_judge(self, home: Home) -> AuditJudge | None:
        settings = home.judge_settings()
        if not settings.base_url:
            return None
        config = judge_upstream(settings)
        return AuditJudge(Upstream(config, self._transport_for(config)), settings.model, self._masker)

    def _transport_for(self, config: UpstreamConfig) -> Transport:
        """One HTTP client for all upstreams whose certificates are checked alike."""
        found = self._transports.get(config.ca_file)
        if found is None:
            make = Http1Transport if self._settings.http_client == "own" else AiohttpTransport
            found = self._transports[config.ca_file] = make(tls=config.tls())
        return found

    async def _on_routes(self) -> None:
        await self._start_pool()
        await self._monitor.check_routes()

    async def _start_pool(self) -> None:
        """Starts the engine, once. A gateway that is starting waits for it; one that answers goes on looking for
        routes."""
        if self._specialists is None or self._starting is not None:
            return
        self._starting = asyncio.create_task(self._started(self._specialists), name="start of the engine")
        if not self._is_up:
            await self._starting

    async def _started(self, specialists: Engine) -> None:
        try:
            await specialists.start()
        except (DeputizeError, OSError) as error:
            # the gateway goes on without its specialists: every call goes to the LLM
            log.error("specialists are not available, the LLM answers every call: %s", error)

    def _requires_keys(self) -> bool:
        if self._keys_required or self._settings.require_keys is True:
            return True
        return self._keys.required

    def _count_upstream_event(self, event: str, upstream: str) -> None:
        self.metrics.add("deputize_upstream_events_total", (("event", event), ("upstream", upstream)))

    def _count_host_event(self, event: str, address: str) -> None:
        self.metrics.add("deputize_specialist_host_events_total", (("event", event), ("host", address)))

    async def stop(self) -> None:
        """Writes what is pending and closes everything."""
        self.gateway.ready = False
        await self._auditor.finish(AUDIT_WAIT_S)
        await self._denials.close()
        if self._pages is not None:
            await self._pages.stop()
        await self._pointer.stop()
        await self._routes.stop()
        self._monitor.stop()
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
        if self._specialists is not None:
            await self._specialists.stop()
        for transport in self._transports.values():
            await transport.close()
        if self._spans is not None:
            await self._spans.stop()
        if self._masker is not None:
            await self._masker.stop()
        loop = asyncio.get_running_loop()
        await self._recorder.close()
        if self._metrics_files is not None:
            await self._metrics_files.stop()
        await loop.run_in_executor(None, self._conversations.close)
        self._meter.close()
        await loop.run_in_executor(None, self._store.close)
