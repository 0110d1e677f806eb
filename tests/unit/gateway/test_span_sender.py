"""Spans on their way out of the gateway."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from tests.unit.gateway.test_call_telemetry import call

from deputize.gateway import span_sender
from deputize.gateway.metrics import Metrics
from deputize.gateway.settings import GatewaySettings
from deputize.gateway.span_exporter import ExportSettings
from deputize.gateway.span_sender import SpanSender, started_sender
from deputize.gateway.trace_context import TraceContext

CONTEXT = TraceContext("a" * 32, "b" * 16)


def test_nothing_is_started_unless_it_is_asked_for() -> None:
    assert started_sender(Metrics(), GatewaySettings()) is None


async def test_the_process_that_talks_to_another_machine_holds_no_keys(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = {"OTEL_EXPORTER_OTLP_HEADERS": "a=b", "OTEL_EXPORTER_OTLP_CLIENT_KEY": "f", "https_proxy": "p"}
    keys = {
        "DEPUTIZE_KEK": "kek-of-the-home",
        "OPENAI_API_KEY": "sk-llm",
        "VAULT_TOKEN": "hvs.t",
        "MYKEK": "k2",
    }
    for name, value in {**settings, **keys}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(span_sender, "SHUTDOWN_S", 0.1)
    monkeypatch.setattr(span_sender, "command_of", lambda settings: ["sleep", "60"])
    sender = SpanSender(Metrics(), ExportSettings("s"), content=False)
    sender.start()
    assert sender._process is not None
    environ = Path(f"/proc/{sender._process.pid}/environ")
    while not (held := environ.read_bytes().decode().split("\0"))[1:]:  # until the program has begun
        await asyncio.sleep(0.01)
    await sender.stop()
    assert {f"{name}={value}" for name, value in settings.items()} <= set(held)
    assert not [line for line in held if line.partition("=")[0] in keys]


async def test_a_process_that_reads_nothing_costs_spans_and_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sleeping process stands for an exporter that does not keep up."""
    monkeypatch.setattr(span_sender, "_MAX_WAITING", 100_000)
    monkeypatch.setattr(span_sender, "SHUTDOWN_S", 0.1)
    monkeypatch.setattr(span_sender, "command_of", lambda settings: ["sleep", "60"])
    metrics = Metrics()
    sender = SpanSender(metrics, ExportSettings("s"), content=False)
    sender.start()
    began = time.perf_counter()
    for _ in range(5000):
        sender.send(call(), CONTEXT, task="", may_tell_content=False)
    assert time.perf_counter() - began < 5.0
    assert metrics.value("deputize_otel_spans_total", result="lost") > 1000
    began = time.perf_counter()
    await sender.stop()
    assert time.perf_counter() - began < 10.0


async def test_a_process_that_ended_is_no_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(span_sender, "command_of", lambda settings: ["true"])
    sender = SpanSender(Metrics(), ExportSettings("s"), content=False)
    sender.start()
    await asyncio.sleep(0.5)
    for _ in range(2000):
        sender.send(call(), CONTEXT, task="", may_tell_content=False)
    await sender.stop()
