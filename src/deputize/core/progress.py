"""Progress of long work, reported to a callable, so that stages know nothing of terminals."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


class Progress(Protocol):
    """Called as progress(what, done, total); total None while it is not known."""

    def __call__(self, what: str, done: int, total: int | None = None) -> None: ...


@runtime_checkable
class StageProgress(Progress, Protocol):
    """Progress that also shows which stage of a run is under way, and lines that stay."""

    def begin_stage(self, name: str, number: int, of: int, left_s: float) -> None:
        """A stage begins.

        Args:
            name: of the stage.
            number: 1 for the first.
            of: stages of the run.
            left_s: seconds of the run's time budget.
        """
        ...

    def note(self, text: str) -> None:
        """A sentence that stays to be read."""
        ...


def silent(what: str, done: int, total: int | None = None) -> None:
    """Progress that goes nowhere."""


def begin_stage(progress: Progress, name: str, number: int, of: int, left_s: float) -> None:
    """Says that a stage begins, to progress that shows stages."""
    if isinstance(progress, StageProgress):
        progress.begin_stage(name, number, of, left_s)


def note(progress: Progress, text: str) -> None:
    """Hands on a sentence that is to be read, not a piece of work that passes."""
    if isinstance(progress, StageProgress):
        progress.note(text)
    else:
        progress(text, 0)
