"""Rows of calls; `tail` and its JSON are in tests of the command."""

from __future__ import annotations

from deputize.core.records import Decision, Usage
from deputize.operations.call_rows import call_row
from deputize.scoring.costs import load_prices
from deputize.testing import call


def test_a_served_call_saves_what_the_llm_would_have_asked() -> None:
    usage = Usage(prompt_tokens=1_000_000)
    decision = Decision(served_by="slm", reason="live", route_id="r1", specialist_ms=1000.0)
    row = call_row(call("a", model="gpt-4o", usage=usage, decision=decision), load_prices())
    assert (row["served_by"], row["route"]) == ("slm", "r1")
    assert 0 < row["usd"] < 0.01 and 2.4 < row["saved_usd"] < 2.5
    other = call_row(call("b", model="gpt-4o", usage=usage), load_prices())
    assert (other["served_by"], other["usd"], other["saved_usd"]) == ("llm", 2.5, 0.0)
