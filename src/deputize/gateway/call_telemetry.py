"""Counts finished calls, writes their access lines and hands on their spans."""

from __future__ import annotations

import os

import msgspec

from deputize.core.recording_policy import Kept
from deputize.core.records import Call, Decision, Usage
from deputize.gateway.gateway_log import log_call
from deputize.gateway.metrics import OTHER, Cells, Labels, Metrics, observe
from deputize.gateway.span_sender import SpanSender
from deputize.gateway.trace_context import TraceContext
from deputize.scoring.costs import Price, Prices, estimated_usage

_MAX_LABEL = 100
_MAX_KEPT = 4096
_LLM = Decision()


class _CallSeries(msgspec.Struct):
    """The cells that calls with the same labels are counted in, so that a call costs one look-up."""

    labels: Labels
    calls: Cells
    seconds: Cells
    first_token: Cells | None = None
    tokens: tuple[Cells, Cells] | None = None
    cost_usd: Cells | None = None
    saved_usd: Cells | None = None
    price: Price | None = None


class CallTelemetry:
    """Is told of every call once, when it has ended."""

    def __init__(self, metrics: Metrics, prices: Prices, spans: SpanSender | None = None) -> None:
        """
        Args:
            spans: takes the spans of calls, where they are exported.
        """
        self._spans = spans
        self._metrics, self._prices = metrics, prices
        self._n_cores = os.cpu_count() or 1
        self._series: dict[tuple[str, str, str, str, str, str], _CallSeries] = {}

    def ended(
        self,
        call: Call,
        *,
        kept: Kept = "full",
        trace: TraceContext | None = None,
        task: str = "",
        key: str = "",
        streamed: bool = False,
        charged: Usage | None = None,
    ) -> None:
        """Counts a call.

        Args:
            call: as it is recorded where everything is kept of it.
            kept: what is kept of it; with "off" there is no access line and no span, and a model without a listed
                price is counted as `OTHER`.
            trace: its span; None where it has none.
            task: name of the task of its route.
            key: id of the caller's API key.
            streamed: the client asked for a stream.
            charged: tokens that an upstream is paid for, where an LLM was asked.
        """
        decision = call.decision or _LLM
        # of what is not kept no word of the caller's is: a name that no price list has may be any text
        model = OTHER if kept == "off" and self._prices.of(call.model).assumed else call.model
        found = (decision.served_by, decision.route_id, task, model, call.tenant, decision.reason)
        series = self._series.get(found) or self._new_series(found)
        series.calls[0] += 1
        if call.latency_ms is not None:
            observe(series.seconds, call.latency_ms / 1e3)
        if streamed and call.ttft_ms is not None:
            if series.first_token is None:
                series.first_token = self._metrics.histogram("deputize_first_token_seconds", series.labels)
            observe(series.first_token, call.ttft_ms / 1e3)
        if call.usage is not None:
            self._count_tokens(series, call.usage)
        usd = self._usd(series, call, decision, charged)
        if usd is not None:
            if series.cost_usd is None:
                series.cost_usd = self._metrics.counter("deputize_cost_usd_total", series.labels)
            series.cost_usd[0] += usd
        if decision.served_by == "slm":
            if series.saved_usd is None:
                series.saved_usd = self._metrics.counter("deputize_saved_usd_total", series.labels)
            series.saved_usd[0] += self._price(series, call).usd(estimated_usage(call, self._prices))
        if kept != "off":
            log_call(call, key=key)
            if self._spans is not None and trace is not None:
                self._spans.send(call, trace, task=task, may_tell_content=kept == "full")

    def _count_tokens(self, series: _CallSeries, usage: Usage) -> None:
        if series.tokens is None:
            read, written = (
                self._metrics.counter("deputize_tokens_total", (*series.labels, ("direction", direction)))
                for direction in ("in", "out")
            )
            series.tokens = (read, written)
        series.tokens[0][0] += usage.prompt_tokens
        series.tokens[1][0] += usage.completion_tokens

    def _usd(
        self, series: _CallSeries, call: Call, decision: Decision, charged: Usage | None
    ) -> float | None:
        """US dollars of a call: the list price of an LLM's tokens, or this machine's time for a specialist."""
        if decision.served_by == "slm":
            return self._prices.specialist_usd((decision.specialist_ms or 0.0) / 1e3, self._n_cores)
        if charged is None:
            return None
        return self._price(series, call).usd(charged)

    def _price(self, series: _CallSeries, call: Call) -> Price:
        if series.price is None:
            series.price = self._prices.of(call.model)
        return series.price

    def _new_series(self, found: tuple[str, str, str, str, str, str]) -> _CallSeries:
        served_by, route, task, model, tenant, reason = found
        labels = (
            ("served_by", served_by),
            ("route", label_value(route)),
            ("task", label_value(task)),
            ("model", label_value(model)),
            ("tenant", tenant),
        )
        if len(self._series) >= _MAX_KEPT:  # names of models that callers made up
            self._series.clear()
        series = self._series[found] = _CallSeries(
            labels,
            self._metrics.counter("deputize_calls_total", (*labels, ("reason", reason))),
            self._metrics.histogram("deputize_call_seconds", labels),
        )
        return series


def label_value(text: str) -> str:
    """A text as the value of a label; one that is no name is counted with others."""
    return text if len(text) <= _MAX_LABEL and (text.isprintable() or not text) else OTHER


def of_route(route_id: str, task: str, tenant: str) -> Labels:
    """The labels of what is counted by route."""
    return (("route", route_id), ("task", label_value(task)), ("tenant", tenant))
