"""Starts the gateway: as worker processes, or inside a running event loop."""

from __future__ import annotations

import asyncio
import gc
import resource
import shutil
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

from deputize.core.errors import UsageError
from deputize.gateway.addresses import check_address, check_port, is_loopback
from deputize.gateway.assembly import RunningGateway
from deputize.gateway.gateway_log import calls_written_by_a_thread, set_up_log
from deputize.gateway.metrics_files import begin_folder
from deputize.gateway.settings import GatewaySettings, settings_for
from deputize.gateway.supervisor import Supervisor, Worker
from deputize.home import Home
from deputize.http.limits import Limits, connections_within, raise_file_limit
from deputize.http.server import HttpServer, listen
from deputize.specialists.serving.base import Engine
from deputize.store.recording.journal_writer import JournalWriter

_SWITCH_S = 0.0001
_GC_THRESHOLD = 20_000
"""Objects in cycles that may wait for the collector; Python's 700 costs 6 % of a request's processor time."""


def _limits(settings: GatewaySettings) -> Limits:
    return Limits(
        max_head_bytes=settings.max_header_kb * 1024,
        max_body_bytes=int(settings.max_body_mb * 1024 * 1024),
        max_bodies_bytes=int(settings.max_bodies_mb * 1024 * 1024),
        head_timeout_s=settings.header_timeout_s,
        body_timeout_s=settings.body_timeout_s,
        write_timeout_s=settings.write_timeout_s,
        idle_timeout_s=settings.idle_timeout_s,
        max_connections=connections_within(
            resource.getrlimit(resource.RLIMIT_NOFILE)[0], settings.max_connections
        ),
    )


def _run_worker(
    home: Path,
    settings: GatewaySettings,
    n_workers: int,
    keys_required: bool | None,
    metrics_folder: Path,
    listening: socket.socket,
    ready: Callable[[], None],
    parent: int,
) -> int:
    """One worker process: everything is opened after the fork."""
    import uvloop

    set_up_log(settings)
    journal_writer = JournalWriter.start(Home(home, falls_back=True).writer_target)
    # no other thread must keep the loop from the interpreter for the default 5 ms
    sys.setswitchinterval(_SWITCH_S)
    gateway = RunningGateway(
        home,
        settings,
        n_workers=n_workers,
        keys_required=keys_required,
        journal_writer=journal_writer,
        metrics_folder=metrics_folder,
    )
    with calls_written_by_a_thread():
        code: int = uvloop.run(_serve_until_stopped(gateway, settings, listening, ready, parent))
    return code


async def _serve_until_stopped(
    running: RunningGateway,
    settings: GatewaySettings,
    listening: socket.socket,
    ready: Callable[[], None],
    parent: int,
) -> int:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    loop.add_reader(parent, stopped.set)  # readable once the parent has ended
    gateway = await running.start()
    server = HttpServer(gateway, _limits(settings), gateway.refusal, gateway.admit)
    gateway.bodies = server.bodies
    await server.start(listening, settings.tls())
    # the objects that exist now stay: the collector need not visit them again, and requests leave next to nothing to it
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_THRESHOLD, 20, 20)
    ready()
    await stopped.wait()
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
    on_serving: Callable[[str], None] = lambda base_url: None,
    given: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Serves a home until SIGINT or SIGTERM; running answers are finished first. SIGHUP reads config.toml again.

    Args:
        home: the home folder (`Home.path`).
        host: address to listen on.
        port: port to listen on.
        upstream: address of the LLM; None: as in config.toml.
        workers: processes.
        api_key_env: variable that holds the upstream's key; default DEPUTIZE_UPSTREAM_API_KEY where it is set, else
            the client's own credentials are sent on.
        on_serving: called with the base URL (without /v1) once requests are answered.
        given: settings that win over those of config.toml.

    Raises:
        UsageError: no upstream, a port in use, an open address without keys.
        BadInput, StoreError: a setting, or the home, cannot be used.
    """
    settings = settings_for(home, upstream, api_key_env, **given)
    set_up_log(settings)
    opened = Home(home)
    if not settings.allow_open_bind:
        check_address(host, has_keys=opened.api_keys.required)
    check_port(host, port)
    for config in settings.upstreams:
        config.key()  # reported here once, not by every worker
        config.tls()
    settings.tls()
    opened.open_store().close()  # not kept open: the workers are forked from here
    keys_required = None if is_loopback(host) or settings.allow_open_bind else True
    _prepare_to_fork(settings.max_connections + 1024)
    try:
        listening = listen(host, port)
    except OSError as error:
        raise UsageError(f"Port {port} on {host} cannot be used: {error.strerror}.") from error

    metrics_folder = begin_folder(home / "gateway")

    def worker() -> Worker:
        # called again at SIGHUP, since the settings may have changed
        changed = settings_for(home, upstream, api_key_env, **given)
        return partial(_run_worker, home, changed, workers, keys_required, metrics_folder, listening)

    with listening:
        base_url = f"{settings.scheme}://{host}:{listening.getsockname()[1]}"
        code = Supervisor(
            worker, workers, drain_s=settings.drain_s, on_serving=lambda: on_serving(base_url)
        ).run()
    shutil.rmtree(metrics_folder, ignore_errors=True)
    if code:
        raise SystemExit(code)


def _prepare_to_fork(n_files: int) -> None:
    """Lets the workers open as many files, and keeps collections of theirs away from what is here: it is in memory once
    for all of them until one writes to it."""
    raise_file_limit(n_files)
    gc.collect()
    gc.freeze()


@asynccontextmanager
async def running_gateway(
    home: Path,
    upstream: str | None = None,
    *,
    settings: GatewaySettings | None = None,
    specialists: Engine | None = None,
    port: int = 0,
    api_key_env: str | None = None,
    clock: Callable[[], float] = time.time,
) -> AsyncIterator[str]:
    """The gateway inside the running event loop, on loopback, for as long as the block lasts: for programs and tests of
    agents.

    Args:
        home: the home folder (`Home.path`).
        upstream: address of the LLM; None: as in config.toml.
        settings: in place of those of config.toml.
        specialists: what answers for specialists; None: a worker process, as in `serve`.
        port: to listen on; 0: any that is free.
        api_key_env: variable that holds the upstream's key.
        clock: Unix seconds.

    Yields:
        The base URL, without /v1.

    Raises:
        UsageError: no upstream, or the port is in use.
        BadInput, StoreError: a setting, or the home, cannot be used.
    """
    settings = settings or settings_for(home, upstream, api_key_env)
    running = RunningGateway(home, settings, specialists, clock=clock)
    gateway = await running.start()
    server = HttpServer(gateway, _limits(settings), gateway.refusal, gateway.admit)
    gateway.bodies = server.bodies
    listening = listen("127.0.0.1", port)
    await server.start(listening, settings.tls())
    try:
        yield f"{settings.scheme}://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        await server.drain(settings.drain_s)
        await running.stop()
