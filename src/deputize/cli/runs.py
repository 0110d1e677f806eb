"""runs: the conversions of a home, and how two of them differ."""

from __future__ import annotations

from typing import Any

import click

from deputize.cli.ids import whole_run_id
from deputize.cli.rights import tenant_of
from deputize.cli.terminal import Terminal, pass_terminal
from deputize.core.errors import UsageError
from deputize.core.percentages import whole_percent


@click.group()
def runs() -> None:
    """The conversions of this home. A RUN may be shortened to any beginning that only one run has."""


@runs.command("list")
@pass_terminal
def list_runs(terminal: Terminal, /) -> None:
    """Every run, newest first: how far it is, its calls, what was certified and what that serves."""
    from deputize.operations.run_rows import run_rows

    home = terminal.home
    rows = run_rows(home, tenant_of(terminal))

    def show() -> None:
        if not rows:
            terminal.say(f"There are no runs in {home.path} yet. `deputize convert` makes one.")
            return
        terminal.table(
            ("run", "tenant", "done", "calls", "certified", "served", "minutes"),
            [
                (
                    row["run_id"],
                    row["tenant"],
                    "all"
                    if row["finished"]
                    else f"up to {row['last_stage']}"
                    if row["last_stage"]
                    else "nothing",
                    f"{row['n_calls']:,}",
                    None if row["n_tasks"] is None else f"{row['n_certified']} of {row['n_tasks']} tasks",
                    None if row["share_served"] is None else whole_percent(row["share_served"]),
                    f"{row['seconds'] / 60:.1f}",
                )
                for row in rows
            ],
        )

    terminal.result(rows, show)


@runs.command("diff")
@click.argument("first", metavar="RUN")
@click.argument("second", metavar="RUN")
@pass_terminal
def diff_runs(terminal: Terminal, /, first: str, second: str) -> None:
    """Compare two runs: settings that differ, and for each task the method, the share served and the held-out loss.

    Tasks are the same where their id is. A task's share and loss are of each run's own held-out calls.
    """
    from deputize.operations.run_rows import difference, report_document

    home, tenant = terminal.home, tenant_of(terminal)
    before, after = (report_document(home, whole_run_id(home, run), tenant=tenant) for run in (first, second))
    document = difference(home, (before, after))
    settings, calls, shares = document["settings"], document["n_calls"], document["share_served"]

    def show() -> None:
        terminal.say(" -> ".join(document["runs"]))
        for name, (old, new) in settings.items():
            terminal.say(f"  {name}: {old} -> {new}")
        terminal.say(f"  calls: {calls[0]:,} -> {calls[1]:,}")
        terminal.say(f"  served of the calls meant for code: {_percent(shares[0])} -> {_percent(shares[1])}")
        heads = ("task", "name", "method", "served", "loss")
        rows = [
            (
                task["id"],
                task["name"],
                _change(task["method"]),
                _change([_percent(v) for v in task["share_served"]]),
                _change([_percent(v, 1) for v in task["loss"]]),
            )
            for task in document["tasks"]
        ]
        terminal.table(heads, rows)

    terminal.result(document, show)


@runs.command("fetch")
@click.argument("run_id", metavar="[RUN]", required=False, default="")
@pass_terminal
def fetch_run(terminal: Terminal, /, run_id: str) -> None:
    """Bring a run that another home has shared into this one (the newest by default): report, settings and sealed
    artifacts.

    Runs are shared through the object store of [objects] when they end. One that was fetched can be fetched again.
    """
    from deputize.cli.ids import whole_id
    from deputize.pipeline.run_sharing import shared_runs

    shared = shared_runs(terminal.home)
    if shared is None:
        raise UsageError(
            f"{terminal.home.config_path} names no object store that runs are shared in: write [objects] with url."
        )
    wanted = shared.fetch(whole_id(run_id, shared.names(), "shared run") if run_id else "")
    terminal.result(
        {"run_id": wanted, "folder": str(terminal.home.runs_path / wanted)},
        lambda: terminal.say(f"The run {wanted} is here. `deputize report {wanted}` shows its report."),
    )


def _percent(value: float | None, digits: int = 0) -> str | None:
    return None if value is None else f"{value:.{digits}%}"


def _change(pair: list[Any]) -> str:
    before, after = ("–" if value is None else str(value) for value in pair)
    return after if before == after else f"{before} -> {after}"
