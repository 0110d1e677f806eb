"""Starts the gateway: in this process, as worker processes, or as a child for demos and tests."""

from __future__ import annotations

import asyncio
import gc
import ipaddress
import logging
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from time import perf_counter
from types import TracebackType

from deputize.core.errors import DeputizeError, UpstreamError, UsageError
from deputize.gateway.app import Gateway
from deputize.gateway.auth import ApiKeyAuthenticator
from deputize.gateway.conversations import SealedConversations
from deputize.gateway.live import Live
from deputize.gateway.metrics import Metrics
from deputize.gateway.metrics_files import MetricsFiles
from deputize.gateway.protocols import SpecialistClient
from deputize.gateway.route_watcher import RouteWatcher
from deputize.gateway.routing import RoutingDecider, new_tool_call_id
from deputize.gateway.settings import UPSTREAM_KEY_VARIABLE, GatewaySettings, read_settings, upstream_from
from deputize.gateway.supervisor import Supervisor, Worker
from deputize.home import Home
from deputize.http.aiohttp_client import AiohttpTransport
from deputize.http.client import Http1Transport
from deputize.http.server import HttpServer, Limits, listen
from deputize.http.transport import Transport
from deputize.scoring.costs import load_prices
from deputize.specialists.serving.pool import WorkerPoolClient
from deputize.store.recording.mover import Mover
from deputize.store.recording.recorder import Recorder
from deputize.upstreams.config import UpstreamConfig
from deputize.upstreams.failover import UpstreamPool
from deputize.upstreams.upstream import Upstream

log = logging.getLogger("deputize.gateway")

_SWITCH_S = 0.0001
_GC_THRESHOLD = 20_000
"""Objects in cycles that may wait for the collector; Python's 700 costs 6 % of a request's processor time."""
AUDIT_WAIT_S = 5.0
"""How long audits under way may hold up the end of the gateway."""


class RunningGateway:
    """Everything one process holds while it serves a home."""

    def __init__(
        self,
        home: Path,
        settings: GatewaySettings,
        specialists: SpecialistClient | None = None,
        *,
        n_workers: int = 1,
        keys_required: bool | None = None,
        clock: Callable[[], float] = time.time,
        mover: Mover | None = None,
    ) -> None:
        """
        Args:
            home: the home folder.
            settings: checked settings with at least one upstream.
            clock: Unix seconds.
            n_workers: processes that share the keys' rate limits.
            keys_required: whether a request needs an API key; None: as the settings say.
            specialists: what tuned models are asked through; None: the local pool, started with the first route.
            mover: the process that writes to the store; None: a thread of this one does.
        """
        self._mover = mover
        self._home = home
        self._settings = settings
        self._specialists = specialists
        self._n_workers, self._keys_required, self._clock = n_workers, keys_required, clock
        self._keys_looked_at, self._has_keys = float("-inf"), False
        self.metrics = Metrics()
        self.gateway: Gateway

    async def start(self) -> Gateway:
        """Opens the store, loads routes, starts the pool.

        Raises:
            StoreError, Tampered: the home cannot be used.
            UsageError: an upstream's key is missing.
        """
        settings = self._settings
        home = Home(self._home)
        keyring = home.keyring
        self._store = home.store
        self._recorder = Recorder(
            self._store,
            keyring,
            self._home,
            durability=settings.durability,
            on_full=settings.on_full,
            window_ms=settings.relaxed_window_ms,
            block_timeout_s=settings.record_wait_s,
            mover=self._mover,
            spill_folder=Path(settings.spill_folder) if settings.spill_folder else None,
        ).start()
        self._transports: dict[str, Transport] = {}
        self._sessions = SealedConversations(home.conversations())
        upstreams = UpstreamPool(
            [Upstream(c, self._transport_for(c)) for c in settings.upstreams],
            settings.retry,
            on_event=self._count_upstream,
        )
        self._routes = RouteWatcher(home.routes_path, self.metrics, poll_s=settings.route_poll_s)
        pool = self._specialists
        if pool is None:
            pool = self._specialists = WorkerPoolClient(home.path, home.models_path)
        self._pool_started = False
        await self._routes.start(self._start_pool)
        consultant = RoutingDecider(
            lambda: self._routes.table,
            pool,
            self.metrics,
            timeout_s=settings.specialist_timeout_s,
            clock_s=perf_counter,
            tool_call_id=new_tool_call_id,
        )
        self._board = MetricsFiles(self._home / "gateway")
        self._keys = home.api_keys
        self._meter = home.rate_limiter(self._n_workers)
        door = ApiKeyAuthenticator(
            self._keys, self._meter, load_prices(self._home), required=self._wants_keys
        )
        self._live = live = Live(
            settings=settings,
            upstreams=upstreams,
            consultant=consultant,
            recorder=self._recorder,
            sessions=self._sessions,
            metrics=self.metrics,
            clock_s=perf_counter,
            door=door,
            clock=self._clock,
        )
        self.gateway = Gateway(
            settings=settings,
            live=live,
            upstreams=upstreams,
            recorder=self._recorder,
            metrics=self.metrics,
            pseudonym=keyring.pseudonym,
            gather_metrics=self._board.gather,
            door=door,
            clock=self._clock,
        )
        if self._n_workers > 1:
            self._board.start(self.metrics, self.gateway.refresh_metrics)
        return self.gateway

    def _transport_for(self, config: UpstreamConfig) -> Transport:
        """One transport for all upstreams whose certificates are checked alike."""
        found = self._transports.get(config.ca_file)
        if found is None:
            make = Http1Transport if self._settings.http_client == "own" else AiohttpTransport
            found = self._transports[config.ca_file] = make(tls=config.tls())
        return found

    async def _start_pool(self) -> None:
        if self._specialists is None or self._pool_started:
            return
        self._pool_started = True
        try:
            await self._specialists.start()
        except (DeputizeError, OSError) as error:
            # the gateway is worth more than its specialists: without them every call goes to the LLM
            log.error("specialists are not available, the LLM answers every call: %s", error)

    def _wants_keys(self) -> bool:
        wanted = self._settings.require_keys if self._keys_required is None else self._keys_required
        if wanted != "auto":
            return wanted
        now = perf_counter()
        if now >= self._keys_looked_at + 1.0:  # a look at the file is not free
            self._keys_looked_at, self._has_keys = now, bool(self._keys)
        return self._has_keys

    def _count_upstream(self, event: str, upstream: str) -> None:
        self.metrics.add("deputize_upstream_events_total", (("event", event), ("upstream", upstream)))

    async def stop(self) -> None:
        """Writes what is pending and gives everything back."""
        self.gateway.ready = False
        await self._live.finish_audits(AUDIT_WAIT_S)
        self._board.stop()
        await self._routes.stop()
        if self._specialists is not None:
            await self._specialists.stop()
        for transport in self._transports.values():
            await transport.close()
        loop = asyncio.get_running_loop()
        await self._recorder.close()
        await loop.run_in_executor(None, self._sessions.close)
        self._meter.close()
        await loop.run_in_executor(None, self._store.close)


# --- settings and the address --------------------------------------------------------------------------------------


def settings_for(home: Path, upstream: str | None, api_key_env: str | None = None) -> GatewaySettings:
    """The home's settings, with the upstream of the command line first.

    Raises:
        BadInput: a setting that cannot be used.
        UsageError: no upstream at all.
    """
    settings = read_settings(home)
    if api_key_env is None and os.environ.get(UPSTREAM_KEY_VARIABLE):
        api_key_env = UPSTREAM_KEY_VARIABLE
    if upstream:
        first = upstream_from(upstream, api_key_env or "")
        others = tuple(u for u in settings.upstreams if u.name != first.name)
        settings = settings.model_copy(update={"upstreams": (first, *others)})
    if not settings.upstreams:
        raise UsageError(
            "There is no upstream: say where the LLM is with --upstream URL, or in config.toml under [[gateway.upstreams]]."
        )
    return settings


def check_address(host: str, *, has_keys: bool) -> None:
    """Refuses to listen beyond this machine without API keys.

    Raises:
        UsageError: and why.
    """
    if not has_keys and not is_loopback(host):
        raise UsageError(
            f"Listening on {host} is refused: no API key exists, so everybody who can reach this machine could use the"
            " LLM behind the gateway at your cost. Create a key first (deputize keys create --role ingest), or listen"
            " on 127.0.0.1."
        )


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def free_port(host: str = "127.0.0.1") -> int:
    """A port nobody listens on now."""
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.bind((host.strip("[]"), 0))
        port: int = probe.getsockname()[1]
        return port


def check_port(host: str, port: int) -> None:
    """Makes sure that a port can be listened on, before anything is opened for it.

    Raises:
        UsageError: it is in use, or the address is not this machine's.
    """
    try:
        infos = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise UsageError(f"The address {host!r} cannot be listened on: {error.strerror}.") from error
    family, kind, protocol, _, address = infos[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
            probe.listen(1)
        except OSError as error:
            raise UsageError(
                f"Port {port} on {host} cannot be used: {error.strerror}. Choose another one with --port."
            ) from error


# --- worker processes ------------------------------------------------------------------------------------------------


def _limits(settings: GatewaySettings) -> Limits:
    return Limits(
        max_head_bytes=settings.max_header_kb * 1024,
        max_body_bytes=int(settings.max_body_mb * 1024 * 1024),
        head_timeout_s=settings.header_timeout_s,
        body_timeout_s=settings.body_timeout_s,
        write_timeout_s=settings.write_timeout_s,
        idle_timeout_s=settings.idle_timeout_s,
        max_connections=settings.max_connections,
    )


def _work(
    home: Path,
    settings: GatewaySettings,
    n_workers: int,
    keys_required: bool | None,
    listening: socket.socket,
    ready: Callable[[], None],
    parent: int,
) -> int:
    """One worker process: everything is opened after the fork."""
    import uvloop

    mover = Mover.start(Home(home).writer_target)
    # no other thread must keep the loop from the interpreter for the default 5 ms
    sys.setswitchinterval(_SWITCH_S)
    code: int = uvloop.run(
        _serve_until_told(
            RunningGateway(home, settings, n_workers=n_workers, keys_required=keys_required, mover=mover),
            settings,
            listening,
            ready,
            parent,
        )
    )
    return code


async def _serve_until_told(
    running: RunningGateway,
    settings: GatewaySettings,
    listening: socket.socket,
    ready: Callable[[], None],
    parent: int,
) -> int:
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    loop.add_reader(parent, told.set)  # at its end: the parent is no more
    gateway = await running.start()
    server = HttpServer(gateway, _limits(settings), gateway.refusal)
    await server.start(listening, settings.tls())
    # what is there now stays: the collector need not look at it again, and a request leaves next to nothing to it
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD, 20, 20)
    ready()
    await told.wait()
    loop.remove_reader(parent)
    gateway.ready = False
    await server.drain(settings.drain_s)
    await running.stop()
    return 0


def serve(
    home: Path,
    host: str = "127.0.0.1",
    port: int = 8790,
    upstream: str | None = None,
    workers: int = 1,
    api_key_env: str | None = None,
) -> None:
    """Serves a home until SIGINT or SIGTERM; running answers are finished first. SIGHUP reads config.toml anew.

    Args:
        home: the home folder.
        host: address to listen on.
        port: port to listen on.
        upstream: where the LLM is; None: as in config.toml.
        workers: processes.
        api_key_env: variable that holds the upstream's key; default DEPUTIZE_UPSTREAM_API_KEY where it is set, else
            the client's own credentials travel on.

    Raises:
        UsageError: no upstream, a port in use, an open address without keys.
        BadInput: a setting that cannot be used.
        StoreError: the home cannot be used.
    """
    settings = settings_for(home, upstream, api_key_env)
    opened = Home(home)
    if not settings.allow_open_bind:
        check_address(host, has_keys=bool(opened.api_keys))
    check_port(host, port)
    for config in settings.upstreams:
        config.key()  # said here once, not by every worker
        config.tls()
    settings.tls()
    opened.open_store().close()  # not kept open: the workers are forked from here
    keys_required = None if is_loopback(host) or settings.allow_open_bind else True
    _raise_file_limit(settings.max_connections + 1024)
    try:
        listening = listen(host, port)
    except OSError as error:
        raise UsageError(f"Port {port} on {host} cannot be used: {error.strerror}.") from error

    def worker() -> Worker:
        # asked again at SIGHUP: the settings may have changed
        return partial(
            _work, home, settings_for(home, upstream, api_key_env), workers, keys_required, listening
        )

    code = Supervisor(worker, workers, drain_s=settings.drain_s).run()
    listening.close()
    if code:
        raise SystemExit(code)


def _raise_file_limit(wanted: int) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < wanted:
        target = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (target, hard))


# --- in this process -------------------------------------------------------------------------------------------------


@asynccontextmanager
async def running_gateway(
    home: Path,
    upstream: str | None = None,
    *,
    settings: GatewaySettings | None = None,
    specialists: SpecialistClient | None = None,
    port: int = 0,
    api_key_env: str | None = None,
    clock: Callable[[], float] = time.time,
) -> AsyncIterator[str]:
    """The real gateway under the real server, inside the running event loop: yields its base URL (without /v1)."""
    settings = settings or settings_for(home, upstream, api_key_env)
    running = RunningGateway(home, settings, specialists, clock=clock)
    gateway = await running.start()
    server = HttpServer(gateway, _limits(settings), gateway.refusal)
    listening = listen("127.0.0.1", port)
    await server.start(listening, settings.tls())
    try:
        yield f"{settings.scheme}://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        await server.drain(settings.drain_s)
        await running.stop()


# --- as a child process ----------------------------------------------------------------------------------------------


class GatewayProcess:
    """A gateway in a child process. Use as a context manager, or call stop()."""

    def __init__(self, process: subprocess.Popen[bytes], base_url: str, log_path: Path) -> None:
        self.process = process
        self.base_url = base_url
        """Without /v1."""
        self.log_path = log_path

    @property
    def pid(self) -> int:
        return self.process.pid

    def stop(self, timeout_s: float = 40.0) -> int:
        """Asks it to finish its answers and end; kills it when it does not. Returns its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        if self.process.stdin is not None:
            self.process.stdin.close()
        return self.process.returncode

    def __enter__(self) -> GatewayProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def start_gateway_process(
    home: Path,
    upstream: str | None = None,
    port: int = 0,
    *,
    host: str = "127.0.0.1",
    workers: int = 1,
    api_key_env: str | None = None,
    timeout_s: float = 60.0,
    environ: dict[str, str] | None = None,
) -> GatewayProcess:
    """Starts `serve` in a child process and waits until it answers. It never outlives this process.

    Args:
        home: the home folder.
        upstream: where the LLM is; None: as in config.toml.
        port: 0 for any free one.
        host: address to listen on.
        workers: worker processes.
        api_key_env: variable that holds the upstream's key.
        timeout_s: how long to wait for /healthz.
        environ: environment of the child, os.environ by default.

    Raises:
        UsageError: it ended at once, with its own words.
        UpstreamError: it did not answer in time.
    """
    chosen = port or free_port(host)
    log_path = home / "gateway.log"
    home.mkdir(parents=True, exist_ok=True)
    command = [
        sys.executable,
        "-m",
        "deputize.gateway",
        str(home),
        host,
        str(chosen),
        str(workers),
        upstream or "",
        api_key_env or "",
    ]
    with log_path.open("ab") as out:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=out, stderr=out, env=environ, start_new_session=True
        )
    scheme = read_settings(home).scheme
    handle = GatewayProcess(process, f"{scheme}://{host}:{chosen}", log_path)
    # only asked whether it is there; its certificate is for its clients to check
    unchecked = ssl._create_unverified_context() if scheme == "https" else None
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if process.poll() is not None:
            handle.stop()
            words = log_path.read_text("utf-8", errors="replace").strip().splitlines()
            raise UsageError(f"The gateway did not start: {words[-1] if words else 'it said nothing'}")
        try:
            with urllib.request.urlopen(f"{handle.base_url}/healthz", timeout=1.0, context=unchecked):
                return handle
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    handle.stop()
    raise UpstreamError(f"The gateway did not answer within {timeout_s:.0f} s; see {log_path}.")
