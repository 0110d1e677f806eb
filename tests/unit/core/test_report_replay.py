"""The part of a report about fresh calls keeps its form."""

from __future__ import annotations

import msgspec

from deputize.core.report_replay import ReportReplay
from deputize.core.report_schema import document


def test_a_replay_survives_the_document() -> None:
    times = {"p50_ms": None, "p95_ms": 3.0, "mean_reply_tokens": 4.0}
    given = {
        "n_calls": 2,
        "by_server": {"slm": {"n_calls": 2, "share": 1.0, "agreement": None, **times}},
        "by_site": {"triage": {"n_calls": 2, "n_slm": 2, "n_disagree": 1}},
        "cost": {"llm_only_usd": 1.0, "routed_usd": 0.5, "specialist_usd": 0.1},
        "disagreements": [{"site": "triage", "got": "a", "wanted": "b"}],
        "note": "Simulated.",
    }
    assert document(msgspec.convert(given, ReportReplay)) == given
