"""Progress of a run: two lines on a terminal that go, plain lines elsewhere."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from deputize.cli.progress_display import LineProgress, bar_progress, minutes_left
from deputize.core.progress import begin_stage, note
from deputize.testing import ManualClock


def test_lines_say_the_first_the_last_and_one_every_ten_seconds() -> None:
    said: list[str] = []
    clock = ManualClock()
    report = LineProgress(said.append, clock)
    for done in range(101):
        report("reading", done, 100)
        clock.advance(0.5)
    assert said[0] == "reading: 0 of 100"
    assert said[-1] == "reading: 100 of 100"
    assert 5 <= len(said) <= 8


def test_lines_do_not_repeat_an_end_but_say_a_second_round() -> None:
    said: list[str] = []
    report = LineProgress(said.append, ManualClock())
    for done, total in ((0, 2), (2, 2), (2, 2), (0, 2), (2, 2)):
        report("epoch", done, total)
    assert said == ["epoch: 0 of 2", "epoch: 2 of 2", "epoch: 2 of 2"]


def test_work_without_a_known_end() -> None:
    said: list[str] = []
    report = LineProgress(said.append, ManualClock())
    report("reading the store", 0)
    report("reading the store", 7)
    assert said == ["reading the store"]


def test_lines_name_the_stage_and_keep_sentences() -> None:
    said: list[str] = []
    report = LineProgress(said.append, ManualClock())
    begin_stage(report, "cluster", 2, 5, 1500.0)
    note(report, "triage: enough")
    assert said == ["stage 2 of 5: cluster (at most 25 min left)", "triage: enough"]


@pytest.mark.parametrize(("seconds", "words"), [(0.0, "at most a minute left"), (95.0, "at most 2 min left")])
def test_the_time_left_is_a_bound(seconds: float, words: str) -> None:
    assert minutes_left(seconds) == words


def shown(text: str) -> list[str]:
    """The lines that a terminal of 80 columns has been given, without the codes that move its cursor."""
    import re

    return [line for line in re.split(r"\x1b\[[0-9;?]*[A-Za-z]|[\r\n]+", text) if line.strip()]


def test_a_terminal_has_two_lines_at_a_time_and_keeps_the_notes() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=80, height=24, color_system=None)
    with bar_progress(console) as report:
        report("importing", 5, 10)
        report.begin_stage("curate", 1, 5, 1800.0)
        for name in ("looking for personal data", "replacing " + "x" * 100):
            for done in range(0, 101, 50):
                report(name, done, 100)
        report.note("triage: \x1b[31m240 episodes")
        assert len(report._bars.tasks) == 2
        report._bars.refresh()
    lines = shown(out.getvalue())
    assert max(map(len, lines)) <= 80
    assert any("Stage 1 of 5: curate" in line and "at most 30 min left" in line for line in lines)
    assert any("100/100" in line for line in lines)
    assert [line for line in lines if "240 episodes" in line], "a note is written as it is"
    assert "\x1b[31m" not in out.getvalue()
