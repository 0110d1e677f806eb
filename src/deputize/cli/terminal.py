"""What a command says: results on stdout (or one JSON document), progress and notes on stderr."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import click
import msgspec

from deputize.core.progress import Progress
from deputize.core.terminal_text import plain, plain_json
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
            written = msgspec.json.format(msgspec.json.encode(document, enc_hook=str), indent=2).decode()
            click.echo(plain_json(written))
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
        """Anything rich can draw, on stdout; texts in it steer no terminal."""
        from rich.console import Console
        from rich.segment import Segment, Segments

        # a pipe has no width of its own: do not cut what a program is going to read
        console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
        # drawn here and written in one piece, so that a reader who left is our error to handle, not rich's
        with console.capture() as written:
            drawn = console.render(what)
            console.print(Segments(s if s.control else Segment(plain(s.text), s.style) for s in drawn))
        click.echo(written.get(), nl=False)

    @contextlib.contextmanager
    def progress(self) -> Iterator[Progress]:
        """A progress callable: bars where stderr is a terminal, now and then a line elsewhere."""
        from deputize.cli.progress_display import LineProgress, bar_progress

        if sys.stderr.isatty():
            from rich.console import Console

            with bar_progress(Console(stderr=True, highlight=False)) as report:
                yield report
        else:
            yield LineProgress(self.note)


def shortened(text: str, most: int) -> str:
    """A text in at most so many characters, with a sign where it was cut."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


pass_terminal = click.make_pass_decorator(Terminal, ensure=True)
