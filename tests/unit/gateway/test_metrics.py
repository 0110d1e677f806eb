"""Counters in Prometheus' text form."""

from __future__ import annotations

from deputize.gateway.metrics import Metrics


def test_metrics_text_and_merge() -> None:
    one, two = Metrics(), Metrics()
    one.add("deputize_calls_total", (("reason", 'a"b\\c\nd'),))
    for metrics in (one, two):
        metrics.observe_s("deputize_call_seconds", 0.003)
        metrics.observe_s("deputize_call_seconds", 1000.0)
        metrics.set("deputize_in_flight", 2)
    one.merge(two.snapshot())
    lines = one.text().decode().splitlines()
    assert 'deputize_calls_total{reason="a\\"b\\\\c\\nd"} 1' in lines
    assert (
        'deputize_call_seconds_bucket{le="0.005"} 2' in lines
        and 'deputize_call_seconds_bucket{le="+Inf"} 4' in lines
    )
    assert "deputize_call_seconds_count 4" in lines and "deputize_in_flight 4" in lines
    assert lines.count("# TYPE deputize_call_seconds histogram") == 1


def test_a_tenant_sees_what_is_counted_of_its_own_calls() -> None:
    metrics = Metrics()
    for tenant in ("alpha", "beta"):
        metrics.add("deputize_calls_total", (("served_by", "llm"), ("tenant", tenant)))
        metrics.observe_s("deputize_call_seconds", 0.01, (("tenant", tenant),))
    metrics.add("deputize_requests_total", (("path", "/metrics"),))
    metrics.set("deputize_in_flight", 2)
    text = metrics.of_tenant("alpha").text().decode()
    assert 'deputize_calls_total{served_by="llm",tenant="alpha"} 1' in text
    assert 'deputize_call_seconds_count{tenant="alpha"} 1' in text
    assert "beta" not in text and "requests_total" not in text and "in_flight" not in text
