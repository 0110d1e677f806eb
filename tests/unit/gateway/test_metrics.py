"""Metrics in Prometheus' text form."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from deputize.gateway.metrics import (
    BUCKETS_S,
    MAX_COUNTER_SERIES,
    MAX_HISTOGRAM_SERIES,
    METRICS,
    Metrics,
)


def samples(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """What Prometheus reads, as (name, sorted labels) -> value."""
    found: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    for family in text_string_to_metric_families(metrics.text().decode()):
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in found, f"{key} is there twice"
            found[key] = sample.value
    return found


def test_the_counts_of_two_processes_are_added() -> None:
    one, two = Metrics(), Metrics()
    for metrics in (one, two):
        metrics.observe_s("deputize_call_seconds", 0.003)
        metrics.observe_s("deputize_call_seconds", 1000.0)
        metrics.set("deputize_in_flight", 2)
        metrics.set("deputize_route_generation", 7)
        metrics.add("deputize_recorder_queued_total", amount=3)
    one.merge(two.snapshot())
    read = samples(one)
    assert read["deputize_call_seconds_bucket", (("le", "0.005"),)] == 2
    assert read["deputize_call_seconds_bucket", (("le", "+Inf"),)] == 4
    assert read["deputize_call_seconds_count", ()] == 4
    assert read["deputize_call_seconds_sum", ()] == pytest.approx(2000.006)
    assert read["deputize_in_flight", ()] == 4, "each has a share"
    assert read["deputize_route_generation", ()] == 7, "all see the same"
    assert read["deputize_recorder_queued_total", ()] == 6


def test_a_total_is_the_same_whichever_process_is_added_first() -> None:
    """A worker that ends is added before those that run; a counter that fell by its last bit would look restarted."""
    snapshots = []
    for amount, n in ((0.0001, 7), (0.00003, 11), (1e-7, 13), (123.456789, 3)):
        metrics = Metrics()
        for _ in range(n):
            metrics.add("deputize_cost_usd_total", amount=amount)
            metrics.observe_s("deputize_call_seconds", amount)
        snapshots.append(metrics.snapshot())
    texts = set()
    for order in itertools.permutations(snapshots):
        total = Metrics()
        for snapshot in order:
            total.merge(snapshot)
        again = Metrics()
        again.merge(total.snapshot())
        texts |= {total.text(), again.text()}
    assert len(texts) == 1
    assert samples(total)["deputize_cost_usd_total", ()] == pytest.approx(370.3713983, abs=1e-8)


@pytest.mark.parametrize("value", ['a"b\\c\nd', "\\n", "ümlaut 漢字", "a,b={}", "", " "])
def test_any_label_value_comes_back_as_it_was(value: str) -> None:
    metrics = Metrics()
    metrics.add("deputize_calls_total", (("model", value), ("tenant", "t")))
    assert samples(metrics)["deputize_calls_total", (("model", value), ("tenant", "t"))] == 1


@pytest.mark.parametrize("value", [0.0, -1.5, 1e300, 12345678901.0, math.inf, -math.inf])
def test_any_number_comes_back_as_it_was(value: float) -> None:
    metrics = Metrics()
    metrics.set("deputize_in_flight", value)
    assert samples(metrics)["deputize_in_flight", ()] == value
    metrics.set("deputize_in_flight", math.nan)
    assert math.isnan(samples(metrics)["deputize_in_flight", ()])


def test_every_metric_has_its_type_and_help_whether_it_has_a_series_or_not() -> None:
    metrics = Metrics()
    metrics.observe_s("deputize_call_seconds", 0.2, (("tenant", "t"),))
    families: dict[str, Any] = {f.name: f for f in text_string_to_metric_families(metrics.text().decode())}
    for name, info in METRICS.items():
        family = families[name.removesuffix("_total")]
        assert (family.type, family.documentation) == (info.kind, info.help)
        assert name.endswith("_total") == (info.kind == "counter"), name
        assert name.endswith("_seconds") == (info.kind == "histogram"), name


def test_a_histogram_is_cumulative_and_ends_with_its_count() -> None:
    metrics = Metrics()
    for seconds in (0.0, 0.001, 0.0011, 0.3, 300.0, 301.0):
        metrics.observe_s("deputize_call_seconds", seconds)
    read = samples(metrics)
    buckets = [read["deputize_call_seconds_bucket", (("le", repr(bound)),)] for bound in BUCKETS_S]
    assert buckets == sorted(buckets) and buckets[0] == 2 and buckets[1] == 3 and buckets[-1] == 5
    assert read["deputize_call_seconds_bucket", (("le", "+Inf"),)] == 6
    assert read["deputize_call_seconds_count", ()] == 6


def test_a_caller_that_makes_up_models_fills_its_own_tenant_only() -> None:
    metrics = Metrics()
    for number in range(MAX_COUNTER_SERIES + 50):
        labels = (("model", f"m{number}"), ("route", "r"), ("tenant", "loud"))
        metrics.add("deputize_calls_total", labels)
        metrics.observe_s("deputize_call_seconds", 0.1, labels)
    quiet = (("model", "gpt"), ("route", "r"), ("tenant", "quiet"))
    metrics.add("deputize_calls_total", quiet)
    counted = [key for key in metrics.counters if dict(key[1])["tenant"] == "loud"]
    assert len(counted) == MAX_COUNTER_SERIES + 1 and len(metrics.histograms) == MAX_HISTOGRAM_SERIES + 1
    assert metrics.value("deputize_calls_total", tenant="loud") == MAX_COUNTER_SERIES + 50, "none is lost"
    assert metrics.value("deputize_calls_total", tenant="loud", model="other", route="other") == 50
    assert metrics.value("deputize_calls_total", tenant="loud", model="m0") == 1
    assert metrics.value("deputize_calls_total", tenant="quiet", model="gpt") == 1


def test_a_kept_cell_counts() -> None:
    metrics = Metrics()
    cells = metrics.counter("deputize_calls_total", (("tenant", "t"),))
    cells[0] += 2
    metrics.add("deputize_calls_total", (("tenant", "t"),))
    assert metrics.value("deputize_calls_total") == 3
    snapshot = metrics.snapshot()
    cells[0] += 1
    assert snapshot["counters"][0][2] == [3.0], "a snapshot does not change"


def test_a_tenant_sees_what_is_counted_of_its_own_calls() -> None:
    metrics = Metrics()
    for tenant in ("alpha", "beta"):
        metrics.add("deputize_calls_total", (("served_by", "llm"), ("tenant", tenant)))
        metrics.observe_s("deputize_call_seconds", 0.01, (("tenant", tenant),))
    metrics.add("deputize_requests_total", (("path", "/metrics"),))
    metrics.set("deputize_in_flight", 2)
    read = samples(metrics.of_tenant("alpha"))
    assert read["deputize_calls_total", (("served_by", "llm"), ("tenant", "alpha"))] == 1
    assert read["deputize_call_seconds_count", (("tenant", "alpha"),)] == 1
    assert not any("beta" in str(key) or "requests" in key[0] or "in_flight" in key[0] for key in read)
