"""Calls as bytes and back; feedback merged into calls."""

from __future__ import annotations

import pytest

from deputize.core.errors import BadInput
from deputize.store.codec import Outcomes, checked_feedback, decode_call, entry_of, is_about
from deputize.testing import call


def test_a_call_comes_back_from_its_entry() -> None:
    made = call("a", tenant="t", origin="o_1", agent="desk", timestamp=5.0)
    entry = entry_of(made)
    assert (entry.id, entry.tenant, entry.origin, entry.agent, entry.timestamp) == (
        "a",
        "t",
        "o_1",
        "desk",
        5.0,
    )
    assert decode_call(entry.data) == made
    with pytest.raises(BadInput, match="cannot be stored"):
        entry_of(call("b", params={"x": object()}))


def test_feedback_reaches_the_tenant_it_is_about() -> None:
    one = checked_feedback("e", "", "success", 0.0, "t")
    assert is_about(one, "t") and not is_about(one, "default")
    assert is_about(checked_feedback("e", "", "success", 0.0, ""), "default")
    outcomes = Outcomes([one])
    merged = outcomes.merged(call("a", episode="e", tenant="t"))
    assert merged.outcome is not None and merged.outcome.success is False
    assert outcomes.merged(call("b", episode="e", tenant="u")).outcome is None
    with pytest.raises(BadInput):
        checked_feedback("e", "c", "success", 0.0, "")


def test_a_correction_is_of_a_call_and_of_its_tenant() -> None:
    right = {"role": "assistant", "content": "x"}
    with pytest.raises(BadInput, match="one call"):
        checked_feedback("e", "", "correction", 1.0, "t", right)
    outcomes = Outcomes([checked_feedback("", "a", "correction", 1.0, "t", right)])
    assert outcomes.merged(call("a", tenant="t")).correction == right
    assert outcomes.merged(call("a", tenant="other")).correction is None
