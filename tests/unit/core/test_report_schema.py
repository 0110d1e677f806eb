"""The schema of report.json: every field present, nothing else, no number that JSON cannot hold."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from deputize.core.report_schema import ReportEnvironment, document, validate
from deputize.core.task_results import EpsilonRow, MethodRow


def test_a_document_has_every_field_and_plain_numbers() -> None:
    row = MethodRow(method="lora", test_accuracy=math.nan, test_interval=(0.1, math.inf), n_test=np.int64(3))  # type: ignore[arg-type]
    plain = document(row)
    assert set(plain) == set(MethodRow.__struct_fields__)
    assert (
        plain["test_accuracy"] is None and plain["test_interval"] == [0.1, None] and plain["trained"] is False
    )
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain and type(plain["n_test"]) is int
    assert type(document(EpsilonRow(epsilon=np.float64(0.02)))["epsilon"]) is float
    assert document({0.5: [ReportEnvironment()]}) == {
        "0.5": [{"python": "", "torch": None, "cpu": "", "gpu": None, "n_cores": None}]
    }


def _without_total(report: dict[str, Any]) -> None:
    del report["total"]


def _text_for_a_number(report: dict[str, Any]) -> None:
    report["seed"] = "0"


def _unknown_key(report: dict[str, Any]) -> None:
    report["source"]["n_mystery"] = 1


@pytest.mark.parametrize(
    ("spoil", "said"),
    [(_without_total, "total"), (_text_for_a_number, r"\$.seed"), (_unknown_key, r"\$.source.n_mystery")],
)
def test_a_document_outside_the_schema_is_named(
    empty_report: dict[str, Any], spoil: Callable[[dict[str, Any]], None], said: str
) -> None:
    assert document(validate(empty_report)) == empty_report
    spoil(empty_report)
    with pytest.raises(msgspec.ValidationError, match=said):
        validate(empty_report)


@pytest.fixture
def empty_report() -> dict[str, Any]:
    """The report of a log without a call."""
    cost = dict.fromkeys(
        ("llm_only_usd", "routed_usd", "specialist_usd", "deferred_usd", "training_usd", "promotion_usd"), 0.0
    ) | {"audit_usd": 0.0, "cache_usd": 0.0, "audit_share": 0.02, "llm_usd": 0.0, "break_even_calls": None}
    cost |= dict.fromkeys(("n_calls_priced", "n_calls_tokens_estimated", "n_calls_price_assumed"), 0)
    energy = ("llm_only_wh", "routed_wh", "specialist_wh", "training_wh")
    emissions = ("llm_only_co2e_g", "routed_co2e_g", "training_co2e_g")
    return {
        "version": 4,
        "run_id": "r",
        "created_s": 0.0,
        "home": "",
        "settings": {},
        "tenant": "default",
        "seed": 0,
        "epsilon": 0.02,
        "scope": "per-route",
        "delta": 0.05,
        "source": {
            **dict.fromkeys(("n_calls", "n_episodes", "n_code_calls", "n_skipped"), 0),
            "skipped": {},
            "models": {},
            "tenants": {},
            "sites": [],
            "agents": {},
            "first_s": None,
            "last_s": None,
            "calls_per_month": None,
            "by_time": [],
        },
        "curate": {
            "n_kept": 0,
            "n_missing_from_store": 0,
            "dropped": {},
            "entities": {},
            "detectors": [],
            "tagger_recall": "",
            "splits": {"test": {"n_calls": 0, "n_groups": 0}},
            "warnings": [],
        },
        "tasks": [],
        "unassigned": {},
        "nothing_trained_reason": None,
        "earlier_routes": [],
        "total": {
            "n_code_calls": 0,
            "n_routes": 0,
            "share_of_code_calls_served": 0.0,
            "n_routes_without_held_out": 0,
            "quality_difference": 0.0,
            "quality_difference_interval": [0.0, 0.0],
            "agreement_of_served": None,
            "cost": cost,
            "energy": dict.fromkeys((*energy, *emissions), 0.0),
            "by_epsilon": [],
        },
        "timings_s": {"curate": 1.0},
        "environment": {"python": "3.11", "torch": None, "cpu": "", "gpu": None, "n_cores": 2},
        "notes": [],
        "assumptions": [],
    }
