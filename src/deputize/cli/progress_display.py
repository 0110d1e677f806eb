"""Progress of a run on a terminal: one bar for all of it, one line for the piece of work in hand; plain lines
elsewhere."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

from deputize.core.terminal_text import plain


class LineProgress:
    """Progress as plain lines: the first and last of each piece of work, and one every ten seconds between."""

    def __init__(
        self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic, every_s: float = 10.0
    ) -> None:
        self._write, self._clock, self._every_s = write, clock, every_s
        self._last_said: dict[str, float] = {}
        self._ended: set[str] = set()

    def __call__(self, what: str, done: int, total: int | None = None) -> None:
        ends = total is not None and done >= total
        if ends and what in self._ended:
            return
        (self._ended.add if ends else self._ended.discard)(what)
        now = self._clock()
        if not ends and what in self._last_said and now - self._last_said[what] < self._every_s:
            return
        self._last_said[what] = now
        of = f" of {total}" if total is not None else ""
        self._write(f"{what}: {done}{of}" if done or total else what)

    def begin_stage(self, name: str, number: int, of: int, left_s: float) -> None:
        """A line for the stage."""
        self._write(f"stage {number} of {of}: {name} ({minutes_left(left_s)})")

    def note(self, text: str) -> None:
        """A line."""
        self._write(text)


class BarProgress:
    """Progress as two lines at the foot of the terminal, which go when the work is done; notes stay above them."""

    def __init__(self, bars: Any, clock: Callable[[], float] = time.monotonic) -> None:
        """
        Args:
            bars: a rich.progress.Progress with the field "beside".
            clock: monotonic seconds.
        """
        self._bars, self._clock = bars, clock
        self._overall: Any = None
        self._current: Any = None
        self._what = ""
        self._number, self._of, self._end_s = 0, 0, 0.0

    def __call__(self, what: str, done: int, total: int | None = None) -> None:
        what = plain(what)
        if self._current is None:
            self._current = self._bars.add_task("", total=None, beside="")
        if what != self._what:
            self._what = what
            self._bars.reset(self._current, total=total, description=what, beside="")
        beside = f"{done:,}/{total:,}" if total else f"{done:,}" if done else ""
        self._bars.update(self._current, completed=done, total=total, beside=beside)
        if self._overall is not None:
            part = min(1.0, done / total) if total else 0.0
            self._bars.update(self._overall, completed=self._number - 1 + part, beside=self._left())

    def begin_stage(self, name: str, number: int, of: int, left_s: float) -> None:
        """The bar of the run moves to the next stage."""
        self._number, self._of, self._end_s = number, of, self._clock() + left_s
        if self._overall is None:
            self._overall = self._bars.add_task("", total=of, beside="")
            if self._current is not None:  # the run stands above the piece of work
                self._bars.remove_task(self._current)
                self._current = None
        self._bars.update(
            self._overall,
            description=f"Stage {number} of {of}: {name}",
            completed=number - 1,
            beside=self._left(),
        )

    def note(self, text: str) -> None:
        """A line above the bars."""
        from rich.text import Text

        self._bars.console.print(Text(plain(text)))

    def _left(self) -> str:
        return minutes_left(max(0.0, self._end_s - self._clock()))


def minutes_left(seconds: float) -> str:
    """The time that is left of a budget, for a reader."""
    return f"at most {seconds / 60:.0f} min left" if seconds >= 60 else "at most a minute left"


@contextlib.contextmanager
def bar_progress(console: Any) -> Iterator[BarProgress]:
    """Bars on a console of rich, which are gone afterwards."""
    from rich.progress import BarColumn, Progress, TextColumn
    from rich.table import Column

    bars = Progress(
        TextColumn(
            "{task.description}",
            markup=False,
            table_column=Column(ratio=1, no_wrap=True, overflow="ellipsis"),
        ),
        BarColumn(bar_width=16),
        TextColumn("{task.fields[beside]}", markup=False, table_column=Column(no_wrap=True, min_width=12)),
        console=console,
        expand=True,
        transient=True,
    )
    with bars:
        yield BarProgress(bars)
