"""The chart of calls a minute."""

from __future__ import annotations

from deputize.dashboard.call_index import Minute
from deputize.dashboard.charts import minute_bars, most_in_a_minute


def test_bars_are_stacked_and_told_to_a_screen_reader() -> None:
    minutes = [Minute(n_specialist=3, n_llm=1), Minute(), Minute(n_llm=2)]
    drawn = minute_bars(minutes)
    assert drawn.count("<rect") == 3
    assert 'class="slm" x="0.1" y="25.00" width="0.8" height="75.00"' in drawn
    assert 'class="llm" x="0.1" y="0.00" width="0.8" height="25.00"' in drawn
    assert "3 by specialists and 3 by the LLM, at most 4 in one minute" in drawn and "style" not in drawn
    assert most_in_a_minute([Minute()]) == 1
