"""Reasons of decisions are told apart by name, and the reference explains each."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

from deputize.core.decision_reason import DecisionReason

REFERENCE = Path(__file__).parents[3] / "docs" / "reference" / "gateway.md"


def test_each_reason_stands_once_and_in_the_reference() -> None:
    reasons = get_args(DecisionReason)
    assert len(set(reasons)) == len(reasons) and {"live", "below_threshold", "audit"} <= set(reasons)
    text = REFERENCE.read_text("utf-8")
    assert [r for r in reasons if r.split(":")[0] not in text] == []
