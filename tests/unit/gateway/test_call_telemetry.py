"""What is counted of calls that have ended."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.gateway.stubs import telemetry

from deputize.core.records import Call, Decision, Usage
from deputize.gateway.call_telemetry import label_value, of_route
from deputize.gateway.metrics import Metrics
from deputize.scoring.costs import load_prices, spend_of

USAGE = Usage(prompt_tokens=1_000_000, completion_tokens=10)


def call(decision: Decision | None = None, model: str = "gpt-4o", **more: object) -> Call:
    fields: dict[str, object] = {
        "id": "dpz-1",
        "messages": [{"role": "user", "content": "secret"}],
        "response": {},
        "model": model,
        "tenant": "shop",
        "usage": USAGE,
        "latency_ms": 40.0,
        "ttft_ms": 8.0,
        "decision": decision,
        **more,
    }
    return Call(**fields)  # type: ignore[arg-type]


SERVED = Decision(served_by="slm", reason="live", route_id="route-1", specialist_ms=3_600_000.0)


def test_a_call_is_counted_with_route_task_model_tenant_and_who_answered() -> None:
    metrics = Metrics()
    told = telemetry(metrics)
    told.ended(call(SERVED), task="intent", streamed=True)
    told.ended(call(SERVED), task="intent")
    told.ended(call(Decision(reason="no_route")), charged=USAGE)
    labels = {"route": "route-1", "task": "intent", "model": "gpt-4o", "tenant": "shop"}
    assert metrics.value("deputize_calls_total", served_by="slm", reason="live", **labels) == 2
    assert metrics.value("deputize_calls_total", served_by="llm", reason="no_route", route="", task="") == 1
    assert metrics.value("deputize_tokens_total", served_by="slm", direction="in", **labels) == 2_000_000
    assert metrics.value("deputize_tokens_total", served_by="llm", direction="out") == 10
    seconds = {
        dict(ls)["served_by"]: cells
        for (n, ls), cells in metrics.histograms.items()
        if n == "deputize_call_seconds"
    }
    assert seconds["slm"][-1] == 2 and seconds["slm"][-2] == pytest.approx(0.08)
    first = [cells for (n, _), cells in metrics.histograms.items() if n == "deputize_first_token_seconds"]
    assert len(first) == 1 and first[0][-1] == 1, "of streams only"


def test_an_llm_costs_its_list_price_and_a_specialist_the_time_of_the_machine() -> None:
    import os

    metrics, prices = Metrics(), load_prices()
    told = telemetry(metrics)
    told.ended(call(), charged=USAGE)
    told.ended(call(SERVED))
    told.ended(call(Decision(served_by="llm"), model="gpt-4o-mini"), charged=None)
    assert metrics.value("deputize_cost_usd_total", served_by="llm") == pytest.approx(
        prices.of("gpt-4o").usd(USAGE)
    )
    assert metrics.value("deputize_cost_usd_total", served_by="slm") == pytest.approx(
        prices.specialist_usd(3600.0, os.cpu_count() or 1)
    )
    assert metrics.value("deputize_cost_usd_total", model="gpt-4o-mini") == 0


def test_a_served_call_saves_what_the_llm_would_have_cost() -> None:
    metrics, prices = Metrics(), load_prices()
    told = telemetry(metrics)
    asked: dict[str, Any] = {
        "messages": [{"role": "user", "content": "x" * 4000}],
        "response": {"role": "assistant", "content": "y" * 40},
        "usage": Usage(prompt_tokens=7, completion_tokens=2),  # the specialist's own
    }
    told.ended(call(SERVED, **asked))
    told.ended(call(**asked), charged=USAGE)
    spend = spend_of("gpt-4o", None, None, asked["messages"], None, asked["response"], prices)
    assert spend.usd == prices.of("gpt-4o").usd(Usage(prompt_tokens=1000, completion_tokens=10))
    assert metrics.value("deputize_saved_usd_total") == pytest.approx(spend.usd)
    assert metrics.value("deputize_saved_usd_total", served_by="slm", tenant="shop") == pytest.approx(
        spend.usd
    )


def test_an_end_user_has_no_way_into_the_labels() -> None:
    metrics = Metrics()
    telemetry(metrics).ended(call(SERVED, origin="anna", episode="order-17", agent="desk"), task="intent")
    text = metrics.text().decode()
    assert "secret" not in text and "anna" not in text and "order-17" not in text and "desk" not in text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("gpt-4o", "gpt-4o"),
        ("", ""),
        ("x" * 101, "other"),
        ("a\nb", "other"),
        ("\ud800", "other"),
        ("größe", "größe"),
    ],
)
def test_a_text_that_is_no_name_is_counted_with_others(text: str, shown: str) -> None:
    assert label_value(text) == shown
    assert of_route("r", text, "t") == (("route", "r"), ("task", shown), ("tenant", "t"))
    metrics = Metrics()
    telemetry(metrics).ended(call(model=text))
    assert metrics.value("deputize_calls_total", model=shown) == 1 and metrics.text()


def test_names_that_callers_make_up_take_bounded_memory() -> None:
    metrics = Metrics()
    told = telemetry(metrics)
    for number in range(5000):
        told.ended(call(model=f"m{number}"))
    assert len(told._series) <= 4096
    assert metrics.value("deputize_calls_total") == 5000


def test_a_call_of_which_nothing_is_kept_has_no_access_line(caplog: pytest.LogCaptureFixture) -> None:
    metrics = Metrics()
    told = telemetry(metrics)
    with caplog.at_level("INFO", logger="deputize.access"):
        told.ended(call(), kept="off")
        assert not caplog.records and metrics.value("deputize_calls_total") == 1
        told.ended(call(), kept="metadata")
    assert len(caplog.records) == 1


def test_of_a_call_that_is_not_kept_a_model_that_no_list_knows_is_not_named() -> None:
    metrics = Metrics()
    told = telemetry(metrics)
    told.ended(call(model="what Mia calls it"), kept="off")
    told.ended(call(model="gpt-4o"), kept="off")
    told.ended(call(model="ours-7b"), kept="metadata")
    models = {dict(labels)["model"] for _, labels in [*metrics.histograms, *metrics.counters]}
    assert models == {"other", "gpt-4o", "ours-7b"}
