"""Progress of long work, reported to a callable, so that stages know nothing of terminals."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Called as progress(what, done, total); total None while it is not known."""

    def __call__(self, what: str, done: int, total: int | None = None) -> None: ...


def silent(what: str, done: int, total: int | None = None) -> None:
    """Progress that goes nowhere."""
