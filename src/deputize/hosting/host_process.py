"""Starts a host of specialists: what it follows, listens on, and takes down again."""

from __future__ import annotations

import asyncio
import logging
import resource
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from deputize.core.errors import DeputizeError, UsageError
from deputize.core.version import VERSION
from deputize.gateway.addresses import check_port, is_loopback
from deputize.gateway.denials import DenialLog
from deputize.gateway.metrics import Metrics
from deputize.gateway.pointer_follower import PointerFollower
from deputize.gateway.route_watcher import RouteWatcher
from deputize.gateway.settings import read_settings
from deputize.home import Home
from deputize.hosting.specialist_host import SpecialistHost
from deputize.http.limits import MOST_CONNECTIONS, Limits, connections_within, raise_file_limit
from deputize.http.server import HttpServer, listen
from deputize.specialists.serving.host_messages import PURPOSE
from deputize.specialists.serving.pool import WorkerEngine
from deputize.specialists.serving.registry import OURS

log = logging.getLogger("deputize.engine")

DRAIN_S = 30.0
"""On SIGTERM, answers under way may take this long."""
HEAD_S, BODY_S = 10.0, 20.0
"""Gateways are machines in the same network: a head, or a body, that takes longer is none of theirs."""
SHARE_OF_ONE = 2
"""One address may hold one of so many connections; that may be several gateways behind a proxy."""


@asynccontextmanager
async def running_host(home: Home, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
    """A host inside the running event loop, for as long as the block lasts.

    Args:
        home: with the keys that its gateways have; the routes in it, or those that it fetches, say what is served.
        host: address to listen on.
        port: to listen on; 0: any that is free.

    Yields:
        Its address.

    Raises:
        UsageError: the port is in use, or the engine is one of another package.
        StoreError, BadInput, Tampered: the home cannot be used.
    """
    engine = engine_of(home)
    home.require_keys()
    metrics = Metrics()
    metrics.set("deputize_build_info", 1.0, (("version", VERSION),))
    poll_s = read_settings(home.path).route_poll_s
    routes = RouteWatcher(home.routes_path, metrics, poll_s=poll_s, seal=home.routes_seal)
    pointer = PointerFollower(home.published, home.objects_settings(), routes.look, metrics)
    denials = DenialLog(home.audit)
    home.api_keys.trust_while(pointer.knows_keys)
    answering = SpecialistHost(
        engine=engine,
        versions=lambda: routes.versions,
        secret=home.keyring.derive(PURPOSE),
        api_keys=home.api_keys,
        keys_required=lambda: not is_loopback(host) or home.api_keys.required,
        metrics=metrics,
        note_denial=denials.note,
    )
    starting: list[asyncio.Task[None]] = []

    async def start_engine() -> None:
        # not waited for: until its specialists are loaded the host says that it is not ready
        starting.extend([asyncio.create_task(_start(engine))] if not starting else [])

    server = HttpServer(answering, host_limits(), answering.refusal, answering.admit)
    listening = _listening(host, port)
    try:
        await pointer.start()
        await routes.start(start_engine)
        await server.start(listening)
        home.audit.append("specialists.serve", detail={"specialists": str(len(routes.versions))})
        yield f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}"
    finally:
        answering.ready = False
        await server.drain(DRAIN_S)
        await pointer.stop()
        await routes.stop()
        for task in starting:
            task.cancel()
        await asyncio.gather(*starting, return_exceptions=True)
        await engine.stop()
        await denials.close()
        listening.close()


def host_limits() -> Limits:
    """The limits of what others may send to a host, as far as this process may open files."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    n_connections = connections_within(files)
    return Limits(
        head_timeout_s=HEAD_S,
        body_timeout_s=BODY_S,
        max_connections=n_connections,
        max_of_one_address=n_connections // SHARE_OF_ONE,
    )


def _listening(host: str, port: int) -> socket.socket:
    try:
        return listen(host, port)
    except OSError as error:
        raise UsageError(f"Port {port} on {host} cannot be used: {error.strerror}.") from error


async def _start(engine: WorkerEngine) -> None:
    try:
        await engine.start()
    except (DeputizeError, OSError) as error:
        log.error("specialists are not available here: %s", error)


def engine_of(home: Home) -> WorkerEngine:
    """The worker of a home, not started.

    Raises:
        UsageError: the engine is one of another package, whose answers do not say which version made them.
    """
    settings = home.engine_settings()
    if settings.kind not in OURS:
        raise UsageError(
            f"The engine {settings.kind!r} cannot be served by a host: it does not say which version of a specialist answered."
            f" A host serves {', '.join(OURS)}; set another engine under `kind` in [engine] of {home.config_path}."
        )
    return WorkerEngine(home.path, home.models_path, settings)


def serve_host(home: Home, host: str, port: int, on_serving: Callable[[str], None]) -> None:
    """Answers for the specialists of a home until SIGINT or SIGTERM; answers under way are finished first.

    Args:
        home: see `running_host`.
        host: address to listen on.
        port: to listen on; 0: any that is free.
        on_serving: called with the address once questions are answered.

    Raises:
        UsageError, StoreError, BadInput, Tampered: as `running_host`.
    """
    import uvloop

    check_port(host, port)
    raise_file_limit(MOST_CONNECTIONS + 4096)
    uvloop.run(_serve_until_stopped(home, host, port, on_serving))


async def _serve_until_stopped(home: Home, host: str, port: int, on_serving: Callable[[str], None]) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    async with running_host(home, host, port) as address:
        on_serving(address)
        await stopped.wait()
