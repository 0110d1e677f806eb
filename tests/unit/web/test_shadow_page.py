"""The page of a comparison: whole, without scripts, with names as text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deputize.web.shadow_page import comparison_page, write_comparison

COMPARISON: dict[str, Any] = {
    "route_id": "r1",
    "task_name": "<b>letters</b>",
    "threshold": 0.9,
    "allowed": 0.05,
    "share_served": 0.75,
    "n_compared": 40,
    "n_deferred": 0,
    "n_served": 30,
    "n_differed": 1,
    "differed_low": 0.0008,
    "differed_high": 0.17,
    "llm_ms": [900.0, 1200.0],
    "specialist_ms": [4.0, 6.0],
    "llm_usd": 0.1,
    "specialist_usd": 0.0001,
    "saved_usd": 0.07,
    "spent_usd": 0.0,
    "first_s": 1.7e9,
    "last_s": 1.7e9,
    "bands": [{"low": 0.95, "high": 0.99, "n": 30, "n_agreed": 29}],
    "next_words": "It becomes live.",
    "ends_words": "",
}


def test_what_stands_in_it(tmp_path: Path) -> None:
    page = comparison_page(COMPARISON)
    assert "75 %" in page and "1 of 30" in page and "96.7 %" in page and "It becomes live." in page
    assert "<b>letters" not in page and "<script" not in page
    path = write_comparison(tmp_path / "shadow" / "x.html", COMPARISON)
    assert path.read_text() == page and path.parent.stat().st_mode & 0o077 == 0
