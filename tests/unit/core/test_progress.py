"""Progress that goes nowhere."""

from __future__ import annotations

from deputize.core.progress import Progress, begin_stage, note, silent


def test_silence_takes_what_progress_takes() -> None:
    report: Progress = silent
    report("reading", 1)
    report("reading", 1, 2)


def test_stages_and_notes_reach_progress_that_shows_them() -> None:
    said: list[object] = []

    class Shows:
        def __call__(self, what: str, done: int, total: int | None = None) -> None:
            said.append(what)

        def begin_stage(self, name: str, number: int, of: int, left_s: float) -> None:
            said.append((name, number, of, left_s))

        def note(self, text: str) -> None:
            said.append(f"note: {text}")

    begin_stage(Shows(), "curate", 1, 5, 60.0)
    note(Shows(), "a sentence")
    begin_stage(silent, "curate", 1, 5, 60.0)
    note(lambda what, done, total=None: said.append(what), "plain")
    assert said == [("curate", 1, 5, 60.0), "note: a sentence", "plain"]
