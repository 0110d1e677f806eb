"""What a command says: results on stdout (or one JSON document), progress and notes on stderr."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import click
import msgspec

from deputize.core.progress import Progress
from deputize.home import Home
from deputize.locations import home_path
from deputize.store.access.roles import Actor, owner


class Terminal:
    """Where a command's words go, and the two settings every command has."""

    def __init__(self) -> None:
        self.given_home: str | None = None
        self.json = False
        self.actor: Actor = owner()
        """Who uses the command (see cli.rights)."""
        self._home: Home | None = None

    @property
    def home(self) -> Home:
        """The home that the command works on; nothing of it is opened before it is used."""
        path = home_path(self.given_home)
        if self._home is None or self._home.path != path:
            self.close()
            self._home = Home(path)
        return self._home

    def close(self) -> None:
        """Closes what is open of the home."""
        if self._home is not None:
            self._home.close()

    def result(self, document: Any, show: Callable[[], None]) -> None:
        """The outcome: `document` as JSON where --json was given, else `show` writes it for a reader."""
        if self.json:
            click.echo(msgspec.json.format(msgspec.json.encode(document, enc_hook=str), indent=2).decode())
        else:
            show()

    def say(self, text: str) -> None:
        """A line of the result, for a reader."""
        click.echo(plain(text))

    def note(self, text: str) -> None:
        """A line next to the result."""
        click.echo(plain(text), err=True)

    def table(self, heads: Sequence[str], rows: Sequence[Sequence[Any]], *, title: str = "") -> None:
        """A table on stdout; None is shown as a dash. Cells are text as it is: what looks like markup is none."""
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table(
            *heads, title=Text(plain(title)) if title else None, title_justify="left", box=box.SIMPLE_HEAD
        )
        for row in rows:
            table.add_row(*("–" if cell is None else Text(plain(str(cell))) for cell in row))
        self.show(table)

    def show(self, what: Any) -> None:
        """Anything rich can draw, on stdout."""
        from rich.console import Console

        # a pipe has no width of its own: do not cut what a program is going to read
        console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
        # drawn here and written in one piece, so that a reader who left is our error to handle, not rich's
        with console.capture() as written:
            console.print(what)
        click.echo(written.get(), nl=False)

    @contextlib.contextmanager
    def progress(self) -> Iterator[Progress]:
        """A progress callable: bars where stderr is a terminal, now and then a line elsewhere."""
        if sys.stderr.isatty():
            with _bars() as report:
                yield report
        else:
            yield line_progress(self.note, time.monotonic)


def plain(text: str) -> str:
    """Text for a terminal: control characters, such as those that begin an escape code, become visible signs; signs that
    change the direction of a line, or have no width, are left out."""
    return text.translate(_SHOWN)


_SHOWN = {
    **{code: 0x2400 + code for code in range(32) if code not in (0x09, 0x0A)},
    0x7F: 0x2421,
    **dict.fromkeys(range(0x80, 0xA0), 0xFFFD),
    **dict.fromkeys((0x200B, 0x2028, 0x2029, 0xFEFF, *range(0x202A, 0x202F), *range(0x2060, 0x206A))),
}

pass_terminal = click.make_pass_decorator(Terminal, ensure=True)


@contextlib.contextmanager
def _bars() -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    bars = Bars(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
    )
    ids: dict[str, Any] = {}

    def report(what: str, done: int, total: int | None = None) -> None:
        if what not in ids:
            ids[what] = bars.add_task(what, total=total)
        bars.update(ids[what], completed=done, total=total)

    with bars:
        yield report


def line_progress(
    write: Callable[[str], None], clock: Callable[[], float], every_s: float = 10.0
) -> Progress:
    """Progress as plain lines: the first and last of each piece of work, and one every ten seconds between."""
    last_said: dict[str, float] = {}
    ended: set[str] = set()

    def report(what: str, done: int, total: int | None = None) -> None:
        ends = total is not None and done >= total
        if ends and what in ended:
            return
        (ended.add if ends else ended.discard)(what)
        if not ends and what in last_said and clock() - last_said[what] < every_s:
            return
        last_said[what] = clock()
        write(f"{what}: {done}" + (f" of {total}" if total is not None else "") if done or total else what)

    return report
