"""Times and durations in texts."""

from __future__ import annotations

import pytest

from deputize.stages.collect.importers.time_text import milliseconds_of_text, time_of_text


@pytest.mark.parametrize(
    "text",
    [
        "2025-10-09T08:53:20Z",
        "2025-10-09 08:53:20,000",
        "2025-10-09T10:53:20+0200",
        "2025-10-09 08:53:20.000000000 UTC",
        "Thu, 09 Oct 2025 08:53:20 GMT",
        "09/Oct/2025:08:53:20 +0000",
        "2025/10/09 08:53:20",
    ],
)
def test_one_moment_in_all_forms(text: str) -> None:
    assert time_of_text(text) == 1760000000.0


@pytest.mark.parametrize(
    "text", ["", "soon", "10/09/2025 09:00", "12", "Thu, the 9th", "2025-13-40T00:00:00Z"]
)
def test_no_time_is_guessed(text: str) -> None:
    assert time_of_text(text) is None


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("800ms", 800.0),
        ("0.8 s", 800.0),
        ("1:00:00", 3_600_000.0),
        ("PT1M", 60_000.0),
        ("PT", None),
        ("800", None),
    ],
)
def test_durations(text: str, wanted: float | None) -> None:
    assert milliseconds_of_text(text) == wanted
