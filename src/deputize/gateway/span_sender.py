"""Hands span records to the process that exports them. Never waits: what does not fit is lost, and counted."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Mapping
from urllib.parse import urlsplit

import msgspec

from deputize.core.records import Call
from deputize.gateway.metrics import Metrics
from deputize.gateway.settings import GatewaySettings
from deputize.gateway.span_exporter import LENGTH, SHUTDOWN_S, ExportSettings, check_installed
from deputize.gateway.span_records import Server, SpanRecord, record_of
from deputize.gateway.trace_context import TraceContext
from deputize.specialists.serving.pool import worker_environment

_EVERY_S = 0.2
_MAX_WAITING = 8 << 20
"""Bytes that wait for the other process; spans beyond are lost."""
_MAX_BATCH = 512
_CERTIFICATES = frozenset({"SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"})
_pack = msgspec.msgpack.Encoder().encode


class SpanSender:
    """One per process, used from the event loop's thread."""

    def __init__(self, metrics: Metrics, settings: ExportSettings, *, content: bool) -> None:
        """
        Args:
            metrics: counts spans by what became of them.
            content: messages are told too.
        """
        self._metrics, self._settings, self._content = metrics, settings, content
        self._records: list[SpanRecord] = []
        self._rest = bytearray()
        self._process: subprocess.Popen[bytes] | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Starts the process."""
        command = command_of(self._settings)
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            bufsize=0,
            env=exporter_environment(os.environ),
        )
        assert self._process.stdin is not None
        os.set_blocking(self._process.stdin.fileno(), False)
        self._task = asyncio.ensure_future(self._flush())

    def send(self, call: Call, context: TraceContext, *, task: str, may_tell_content: bool) -> None:
        """Takes the span of a call that has ended.

        Args:
            task: name of the task of its route.
            may_tell_content: its texts may be told, where they are wanted.
        """
        if len(self._rest) > _MAX_WAITING:
            self._count("lost")
            return
        with_content = may_tell_content and self._content
        self._records.append(record_of(call, context, task=task, with_content=with_content))
        if len(self._records) >= _MAX_BATCH:
            self._hand_over()

    def _hand_over(self) -> None:
        """Writes as much as the pipe takes now."""
        if self._records:
            data = _pack(self._records)
            self._rest += LENGTH.pack(len(data)) + data
            self._count("sent", len(self._records))
            self._records = []
        if not self._rest or self._process is None or self._process.stdin is None:
            return
        try:
            while self._rest:
                written = os.write(self._process.stdin.fileno(), self._rest[: 1 << 16])
                del self._rest[:written]
        except BlockingIOError:
            return
        except OSError:  # it has ended: its last words are in the log
            self._rest.clear()

    async def _flush(self) -> None:
        while True:
            await asyncio.sleep(_EVERY_S)
            self._hand_over()

    def _count(self, result: str, n: int = 1) -> None:
        self._metrics.add("deputize_otel_spans_total", (("result", result),), n)

    async def stop(self) -> None:
        """Hands over the last spans, and ends the process where it does not end by itself."""
        if self._process is None or self._process.stdin is None:
            return
        if self._task is not None:
            self._task.cancel()
        self._hand_over()
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        loop = asyncio.get_running_loop()
        try:
            await loop.run_in_executor(None, self._process.wait, 3 * SHUTDOWN_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            await loop.run_in_executor(None, self._process.wait)


def command_of(settings: ExportSettings) -> list[str]:
    """The command line of the process that exports."""
    return [sys.executable, "-m", "deputize.gateway.span_exporter", msgspec.json.encode(settings).decode()]


def started_sender(metrics: Metrics, settings: GatewaySettings) -> SpanSender | None:
    """The sender that settings ask for; None where they ask for none.

    Raises:
        MissingExtra: the exporter's packages are not installed.
    """
    otel = settings.otel
    if not otel.enabled:
        return None
    check_installed()
    servers: dict[str, Server] = {}
    for upstream in settings.upstreams:
        address = urlsplit(upstream.base_url)
        port = address.port or (443 if address.scheme == "https" else 80)
        servers[upstream.name] = Server(upstream.protocol, address.hostname or "", port)
    sender = SpanSender(metrics, ExportSettings(otel.service, otel.endpoint, servers), content=otel.content)
    sender.start()
    return sender


def exporter_environment(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment of the process that exports spans, which talks to another machine: what its libraries need and
    what the receiver's operator sets, no key of the home and no credentials of an LLM."""
    needed = {
        name: value
        for name, value in environ.items()
        if name.startswith("OTEL_") or name.lower().endswith("_proxy") or name in _CERTIFICATES
    }
    return {**worker_environment(environ), **needed}
