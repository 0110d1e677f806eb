"""report.json keeps the form users rely on, and its totals add up."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from deputize.core.config import Convert
from deputize.core.records import Contract, Task
from deputize.core.report_schema import document, validate
from deputize.scoring.costs import load_prices
from deputize.stages.evaluate.build_report import build

ENVIRONMENT = {"python": "3.11", "torch": None, "cpu": "simulated", "gpu": None, "n_cores": 2}
Make = Callable[..., Any]
NUMBER, OPTIONAL, TEXT, COUNTS, PAIR = (int, float), (int, float, type(None)), str, dict, list

# The form of the published interface: added keys are fine, a missing or retyped one is a break.
SHAPE: dict[str, Any] = {
    "version": int,
    "run_id": TEXT,
    "seed": int,
    "epsilon": float,
    "delta": float,
    "source": {"n_calls": int, "n_episodes": int, "n_code_calls": int, "n_skipped": int, "skipped": COUNTS},
    "curate": {"n_kept": int, "dropped": COUNTS, "entities": COUNTS},
    "tasks": [
        {
            "id": TEXT,
            "name": TEXT,
            "kind": TEXT,
            "n_calls": int,
            "share_of_calls": NUMBER,
            "share_of_cost": NUMBER,
            "n_origins": int,
            "candidates": [{"model": TEXT, "probe_accuracy": OPTIONAL, "fits": bool, "licence": TEXT}],
            "specialist": {
                "model": TEXT,
                "method": TEXT,
                "n_train": int,
                "train_s": NUMBER,
                "tokens_per_s": OPTIONAL,
                "prompt_tokens_before": OPTIONAL,
                "prompt_tokens_after": OPTIONAL,
            },
            "test": {
                "n_calls": int,
                "n_episodes": int,
                "majority_accuracy": OPTIONAL,
                "base_accuracy": OPTIONAL,
                "tuned_accuracy": OPTIONAL,
                "tuned_interval": PAIR,
            },
            "certificate": {
                "kind": TEXT,
                "epsilon": NUMBER,
                "delta": NUMBER,
                "n_calibration": int,
                "threshold": NUMBER,
                "share_served": NUMBER,
                "p_value": NUMBER,
            },
            "held_out": {
                "n_calls": int,
                "share_served": NUMBER,
                "loss_difference": NUMBER,
                "loss_difference_interval": PAIR,
            },
            "refusal_reason": (str, type(None)),
            "leak_tests": [
                {"method": TEXT, "leaks": bool, "n_planted": int, "n_extracted": int, "n_exposed": int}
            ],
        }
    ],
    "total": {
        "share_of_code_calls_served": NUMBER,
        "quality_difference": NUMBER,
        "quality_difference_interval": PAIR,
        "cost": {
            "llm_only_usd": NUMBER,
            "routed_usd": NUMBER,
            "specialist_usd": NUMBER,
            "deferred_usd": NUMBER,
            "training_usd": NUMBER,
            "promotion_usd": NUMBER,
            "audit_usd": NUMBER,
            "cache_usd": NUMBER,
            "audit_share": NUMBER,
        },
        "energy": dict,
    },
    "timings_s": COUNTS,
    "environment": {
        "python": TEXT,
        "torch": (str, type(None)),
        "cpu": TEXT,
        "gpu": (str, type(None)),
        "n_cores": int,
    },
}
NULLABLE = {"specialist", "test", "certificate", "held_out"}


def problems(value: Any, shape: Any, where: str = "report") -> list[str]:
    """Where a document departs from the form."""
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return [f"{where} is {type(value).__name__}, not an object"]
        out = []
        for key, inner in shape.items():
            if key not in value:
                out.append(f"{where}.{key} is missing")
            elif not (value[key] is None and key in NULLABLE):
                out += problems(value[key], inner, f"{where}.{key}")
        return out
    if isinstance(shape, list):
        if not isinstance(value, list):
            return [f"{where} is not a list"]
        return [p for i, item in enumerate(value) for p in problems(item, shape[0], f"{where}[{i}]")]
    return [] if isinstance(value, shape) else [f"{where} is {value!r}"]


def report_of(world: Any, config: Convert | None = None) -> tuple[dict[str, Any], list[Any]]:
    config = config or Convert()
    results = world.run(config, clock=lambda: 0.0)
    return build(
        run_id="0001-abc",
        config=config,
        curated=world.curated,
        discovered=world.discovered,
        selected=world.selected,
        finetuned=world.finetuned,
        results=results,
        timings_s={"evaluate": 1.5},
        environment=ENVIRONMENT,
        n_skipped=2,
        skipped={"not JSON": 2},
    ), results


@pytest.mark.parametrize(
    "given",
    [{}, {"per_group": 30, "n_calls": 1500}, {"methods": {}}, {"repeats_differ": 0.1}, {"n_calls": 4}],
)
def test_the_form_is_kept_whatever_happened(world: Make, given: dict[str, Any]) -> None:
    report, _ = report_of(world(**given))
    assert problems(report, SHAPE) == []
    assert document(validate(report)) == report, "no key is missing from the schema"
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    (task,) = report["tasks"]
    assert (task["certificate"] is None) == (task["refusal_reason"] is not None)
    # names of groups stay in the sealed results
    assert "g1" not in json.dumps({k: v for k, v in task.items() if k not in ("name", "template")})


def test_a_departure_is_noticed(world: Make) -> None:
    report, _ = report_of(world(n_calls=300))
    del report["total"]["energy"]
    report["tasks"][0]["n_calls"] = "many"
    assert problems(report, SHAPE) == ["report.tasks[0].n_calls is 'many'", "report.total.energy is missing"]


def test_totals_are_weighted_by_calls_and_count_unrouted_tasks(world: Make) -> None:
    w = world()
    other = Task(
        id="t2",
        name="Chat",
        contract=Contract(kind="text"),
        recipe=w.discovered.tasks[0].recipe,
        keys=["sig/2"],
    )
    extra = [
        msgspec.structs.replace(e, call_id=f"x{i}", group=f"x{i}")
        for i, e in enumerate(w.curated.examples[:1000])
    ]
    w.curated = msgspec.structs.replace(w.curated, examples=[*w.curated.examples, *extra], n_code_calls=5000)
    w.discovered = msgspec.structs.replace(
        w.discovered,
        tasks=[*w.discovered.tasks, other],
        assignment=w.discovered.assignment | {e.call_id: "t2" for e in extra},
    )
    report, results = report_of(w)
    served = results[0].held_out.share_served
    assert report["total"]["share_of_code_calls_served"] == pytest.approx(served * 3000 / 5000)
    assert report["total"]["quality_difference"] == pytest.approx(
        -results[0].held_out.loss_difference * 3000 / 5000
    )
    low, high = report["total"]["quality_difference_interval"]
    assert low <= report["total"]["quality_difference"] <= high <= 0
    assert [t["id"] for t in report["tasks"]] == ["t1", "t2"]
    assert report["tasks"][1]["refusal_reason"]
    cost = report["total"]["cost"]
    assert cost["llm_only_usd"] == pytest.approx(4000 * (500 * 2.5 + 20 * 10) / 1e6)
    assert cost["routed_usd"] == pytest.approx(
        cost["llm_usd"]
        + cost["specialist_usd"]
        + cost["deferred_usd"]
        + cost["audit_usd"]
        + cost["cache_usd"]
    )
    assert sum(t["cost"]["llm_only_usd"] for t in report["tasks"]) == pytest.approx(cost["llm_only_usd"])
    assert cost["audit_usd"] > 0 and cost["audit_share"] == 0.02
    assert cost["training_usd"] == pytest.approx(load_prices().specialist_usd(120, 2))
    assert 50 * cost["llm_only_usd"] / 4000 < cost["promotion_usd"] < 5000 * cost["llm_only_usd"] / 4000


def test_what_is_not_served_is_paid_twice(world: Make) -> None:
    w = world()
    ticks = iter(range(10**6))
    results = w.run(clock=lambda: float(next(ticks)))
    report = build(
        run_id="r",
        config=Convert(),
        curated=w.curated,
        discovered=w.discovered,
        selected=w.selected,
        finetuned=w.finetuned,
        results=results,
        timings_s={},
        environment=ENVIRONMENT,
    )
    cost, share = report["total"]["cost"], report["total"]["share_of_code_calls_served"]
    assert cost["specialist_usd"] > 0
    assert cost["deferred_usd"] / (cost["specialist_usd"] + cost["deferred_usd"]) == pytest.approx(1 - share)


def test_nothing_trained_costs_what_the_llm_costs(world: Make) -> None:
    report, _ = report_of(world(methods={}))
    total = report["total"]
    assert total["share_of_code_calls_served"] == 0 and total["quality_difference"] == 0
    assert total["cost"]["routed_usd"] == total["cost"]["llm_only_usd"]
    assert total["energy"]["routed_wh"] == pytest.approx(total["energy"]["llm_only_wh"])


def test_calls_that_left_the_store_are_counted_and_said(world: Make) -> None:
    w = world(methods={}, n_calls=100)
    given: dict[str, Any] = {
        "run_id": "r",
        "config": Convert(),
        "curated": w.curated,
        "discovered": w.discovered,
        "selected": w.selected,
        "finetuned": w.finetuned,
        "results": w.run(),
        "timings_s": {},
        "environment": ENVIRONMENT,
    }
    assert "left the store" not in " ".join(build(**given)["notes"])
    report = build(**given, n_missing_from_store=7)
    assert report["curate"]["n_missing_from_store"] == 7 and report["notes"][-1].startswith(
        "7 call(s) of validation"
    )
