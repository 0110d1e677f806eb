"""tail: calls as they come, from what the gateway records."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import click

from deputize.cli.rights import tenant_of, tenant_option
from deputize.cli.terminal import Terminal, pass_terminal
from deputize.core.errors import UsageError
from deputize.core.records import Call
from deputize.store.base import Store

LATE_S = 60.0
"""A call is filed under the time at which it began: one that takes longer than this is not shown."""


@click.command()
@click.option("--last", type=click.IntRange(0), default=10, show_default=True, help="Calls to show at first.")
@click.option("--no-follow", is_flag=True, help="Show the last calls and end.")
@tenant_option
@pass_terminal
def tail(terminal: Terminal, /, last: int, no_follow: bool, tenant: str) -> None:
    """Show calls as the gateway records them: agent and site, who answered and why, milliseconds, money saved.

    No text of a call is shown. Ctrl-C ends it.
    """
    from deputize.operations.call_rows import call_row, last_calls
    from deputize.scoring.costs import load_prices

    if terminal.json and not no_follow:
        raise UsageError("--json prints one document, so it takes --no-follow.")
    whose, home = tenant_of(terminal, tenant) or None, terminal.home
    home.require_keys()
    prices = load_prices(home.path)
    # one entry for the whole look, not one for each second of it
    with closing(home.open_store(audited=False)) as store:
        home.audit.append("read.raw", tenant=whose or "*", detail={"command": "tail"})
        newest = last_calls(store, whose, last, home.now())
        rows = [call_row(call, prices) for call in newest]

        def show() -> None:
            for row in rows:
                terminal.say(line_of(row))

        terminal.result(rows, show)
        if no_follow:
            return
        for call in new_calls(store, whose, home.now, pause=lambda: time.sleep(1.0)):
            terminal.say(line_of(call_row(call, prices)))


def new_calls(
    store: Store, tenant: str | None, now_s: Callable[[], float], *, pause: Callable[[], None]
) -> Iterator[Call]:
    """Calls that are stored from now on, as they come.

    Args:
        store: where they come.
        tenant: whose; None: everybody's.
        now_s: Unix seconds.
        pause: waits between two looks.
    """
    shown = {call.id for call in store.calls(since=now_s() - LATE_S, tenant=tenant)}
    while True:
        pause()
        recent = list(store.calls(since=now_s() - LATE_S, tenant=tenant))
        yield from (call for call in recent if call.id not in shown)
        shown = {call.id for call in recent}


def line_of(row: dict[str, Any]) -> str:
    """A call as a line of at most 80 columns."""
    at = time.strftime("%H:%M:%S", time.localtime(row["at_s"])) if row["at_s"] else "--:--:--"
    place = "/".join(filter(None, (row["agent"], row["site"]))) or row["model"]
    place = (row["site"] or place) if len(place) > 19 else place
    who = "specialist" if row["served_by"] == "slm" else "LLM"
    ms = f"{row['ms']:,.0f} ms" if row["ms"] is not None else ""
    saved = f"saved ${row['saved_usd']:.5f}" if row["served_by"] == "slm" else ""
    why = row["reason"] if row["status"] < 400 else f"status {row['status']}"
    return f"{at} {place[:19]:<19} {who:<10} {why[:15]:<15} {ms:>9} {saved}".rstrip()
