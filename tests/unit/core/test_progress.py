"""Progress that goes nowhere."""

from __future__ import annotations

from deputize.core.progress import Progress, silent


def test_silence_takes_what_progress_takes() -> None:
    report: Progress = silent
    report("reading", 1)
    report("reading", 1, 2)
