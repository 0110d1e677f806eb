"""`python -m deputize.gateway.span_exporter SETTINGS`: the process that exports spans and metrics by OTLP/HTTP.

It reads span records from its standard input, as messages with their lengths before them, and ends when that does. So
neither the encoding nor a slow receiver takes anything from the event loop of the gateway.
"""

from __future__ import annotations

import logging
import queue
import signal
import struct
import sys
import threading
from importlib.util import find_spec
from typing import IO, Any

import msgspec

from deputize.core.errors import MissingExtra
from deputize.gateway.span_records import Server, SpanRecord, attributes_of, error_type

LENGTH = struct.Struct(">I")
MAX_WAITING = 200
"""Batches that may wait for a slow receiver; those beyond are lost."""
SHUTDOWN_S = 3.0
_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_TOKENS = tuple(4**power for power in range(14))
_METRIC_LABELS = (
    "gen_ai.operation.name",
    "gen_ai.provider.name",
    "gen_ai.request.model",
    "error.type",
    "deputize.served_by",
    "deputize.route.id",
)

log = logging.getLogger("deputize.otel")


class ExportSettings(msgspec.Struct, frozen=True):
    """Settings of the process, given at its start."""

    service: str
    """service.name, unless the environment says another one."""
    endpoint: str = ""
    """Base URL of the receiver; "" as the OTEL_* variables say."""
    servers: dict[str, Server] = {}
    """Upstreams by name."""


def check_installed() -> None:
    """Raises MissingExtra where the packages of the exporter are not installed; imports none of them."""
    for package in ("opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.http"):
        try:
            found = find_spec(package)
        except ModuleNotFoundError:
            found = None
        if found is None:
            raise MissingExtra.package("opentelemetry-exporter-otlp-proto-http", "otel")


class Exporter:
    """Turns records into spans and metrics of the SDK, and exports them."""

    def __init__(self, settings: ExportSettings) -> None:
        from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.metrics import MeterProvider
        from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
        from opentelemetry.sdk.resources import OTELResourceDetector, Resource

        base, self._servers = settings.endpoint.rstrip("/"), settings.servers
        self._resource = Resource.create({"service.name": settings.service}).merge(
            OTELResourceDetector().detect()
        )
        self._spans = OTLPSpanExporter(endpoint=f"{base}/v1/traces" if base else None)
        metrics = OTLPMetricExporter(endpoint=f"{base}/v1/metrics" if base else None)
        self._meters = MeterProvider([PeriodicExportingMetricReader(metrics)], self._resource)
        meter = self._meters.get_meter("deputize")
        self._seconds = meter.create_histogram(
            "gen_ai.client.operation.duration",
            "s",
            "Duration of calls.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            "{token}",
            "Tokens of calls.",
            explicit_bucket_boundaries_advisory=_TOKENS,
        )

    def export(self, records: list[SpanRecord]) -> None:
        """Exports some spans and counts them; what the receiver does not take is lost."""
        spans: list[Any] = []
        for record in records:
            attributes = attributes_of(record, self._servers.get(record.upstream))
            self._measure(record, attributes)
            if record.trace_id:
                spans.append(self._span(record, attributes))
        if spans:
            self._spans.export(spans)

    def close(self) -> None:
        """Exports the last metrics."""
        self._meters.shutdown(timeout_millis=SHUTDOWN_S * 1e3)
        self._spans.shutdown()

    def _measure(self, record: SpanRecord, given: dict[str, Any]) -> None:
        labels = {name: given[name] for name in _METRIC_LABELS if name in given}
        self._seconds.record(record.latency_ms / 1e3, labels)
        labels.pop("error.type", None)
        for kind in ("input", "output"):
            n_tokens = given.get(f"gen_ai.usage.{kind}_tokens")
            if n_tokens is not None:
                self._tokens.record(n_tokens, {**labels, "gen_ai.token.type": kind})

    def _span(self, record: SpanRecord, attributes: dict[str, Any]) -> Any:
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope
        from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

        def context(span_id: str, *, is_remote: bool) -> SpanContext:
            flags = TraceFlags(TraceFlags.SAMPLED)
            return SpanContext(int(record.trace_id, 16), int(span_id, 16), is_remote, flags)

        start_ns = int(record.start_s * 1e9)
        return ReadableSpan(
            name=f"{attributes['gen_ai.operation.name']} {record.model}".rstrip(),
            context=context(record.span_id, is_remote=False),
            parent=context(record.parent_id, is_remote=True) if record.parent_id else None,
            resource=self._resource,
            attributes=attributes,
            kind=SpanKind.CLIENT,
            status=Status(StatusCode.ERROR if error_type(record) else StatusCode.UNSET),
            start_time=start_ns,
            end_time=start_ns + int(record.latency_ms * 1e6),
            instrumentation_scope=InstrumentationScope("deputize"),
        )


def run(stream: IO[bytes], exporter: Exporter) -> None:
    """Exports what comes in until the stream ends, and then for some seconds what still waits."""
    waiting: queue.Queue[bytes | None] = queue.Queue(MAX_WAITING)
    decoder = msgspec.msgpack.Decoder(list[SpanRecord])

    def work() -> None:
        while (batch := waiting.get()) is not None:
            exporter.export(decoder.decode(batch))

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    lost = 0
    while len(head := stream.read(LENGTH.size)) == LENGTH.size:
        batch = stream.read(LENGTH.unpack(head)[0])
        try:
            waiting.put_nowait(batch)
        except queue.Full:
            lost += 1
            if lost == 1:
                log.warning("the receiver is too slow: spans are lost")
    try:
        waiting.put(None, timeout=SHUTDOWN_S)
        worker.join(SHUTDOWN_S)
    except queue.Full:
        pass
    exporter.close()


def main(arguments: list[str]) -> int:
    """Runs until standard input ends; returns the exit code."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the gateway says when: it has spans to hand over
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    run(sys.stdin.buffer, Exporter(msgspec.json.decode(arguments[0], type=ExportSettings)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
