"""The process that exports spans."""

from __future__ import annotations

import importlib.util
import io
import threading
from typing import Any

import msgspec
import pytest
from tests.unit.gateway.test_call_telemetry import call

from deputize.core.errors import MissingExtra
from deputize.gateway import span_exporter
from deputize.gateway.span_records import SpanRecord, record_of
from deputize.gateway.trace_context import TraceContext

RECORD = record_of(call(), TraceContext("a" * 32, "b" * 16), task="", with_content=False)


class Kept:
    """An exporter that keeps what it is given, once it may."""

    def __init__(self) -> None:
        self.may = threading.Event()
        self.records: list[SpanRecord] = []
        self.closed = False

    def export(self, records: list[SpanRecord]) -> None:
        assert self.may.wait(30)
        self.records += records

    def close(self) -> None:
        self.closed = True


def batches(n: int) -> io.BytesIO:
    data = msgspec.msgpack.encode([RECORD])
    return io.BytesIO(n * (span_exporter.LENGTH.pack(len(data)) + data))


def test_what_came_in_is_exported_before_the_end() -> None:
    exporter: Any = Kept()
    exporter.may.set()
    span_exporter.run(batches(3), exporter)
    assert exporter.records == [RECORD] * 3 and exporter.closed


def test_a_receiver_that_hangs_costs_spans_and_not_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(span_exporter, "SHUTDOWN_S", 0.1)
    monkeypatch.setattr(span_exporter, "MAX_WAITING", 4)
    exporter: Any = Kept()
    span_exporter.run(batches(50), exporter)
    assert exporter.closed and not exporter.records
    exporter.may.set()


def test_without_the_packages_the_line_that_installs_them_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(span_exporter, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"pip install 'deputize\[otel\]'"):
        span_exporter.check_installed()
    monkeypatch.setattr(span_exporter, "find_spec", importlib.util.find_spec)
    span_exporter.check_installed()
