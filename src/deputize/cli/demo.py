"""demo: the whole loop on a simulated agent, from one command."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import click

from deputize.cli.terminal import Terminal, pass_terminal
from deputize.core.percentages import percent, whole_percent
from deputize.home import Home

DEFAULT_HOME = ".deputize-demo"


@click.command()
@click.option(
    "--episodes",
    type=click.IntRange(1, 5000),
    help="Simulated tickets to learn from (default 240, about 1,800 calls).",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@click.option(
    "--minutes",
    type=click.FloatRange(0, min_open=True),
    help="Time for curation, training and evaluation together (default 15).",
)
@click.option("--fresh", is_flag=True, help="Delete the earlier demo and start over.")
@pass_terminal
def demo(terminal: Terminal, /, episodes: int | None, seed: int, minutes: float | None, fresh: bool) -> None:
    """Run the whole loop on a simulated help-desk agent, then say where the report is.

    Its home is ./.deputize-demo unless --home names another.
    """
    from deputize.demo import loop
    from deputize.library import check_models

    plan = loop.DemoSize(seed=seed)
    plan = replace(plan, n_episodes=episodes or plan.n_episodes, minutes=minutes or plan.minutes)
    check_models(plan.convert())
    # the user's own home is never mixed with simulated traffic: DEPUTIZE_HOME does not count here
    terminal.given_home = terminal.given_home or DEFAULT_HOME
    home = terminal.home
    began = time.monotonic()
    with terminal.progress() as progress:
        report = loop.run(home.path, plan, progress=progress, say=terminal.note, fresh=fresh)
    terminal.result(report, lambda: show_demo(terminal, home, report, time.monotonic() - began))


def show_demo(terminal: Terminal, home: Home, report: dict[str, Any], seconds: float) -> None:
    """The report, the replay's figures, and where to look."""
    from deputize.cli.report import show_report

    show_report(terminal, report)
    replay = report["replay"]
    rows = [
        (
            {"slm": "specialist on this machine", "llm": "simulated LLM"}[name],
            row["n_calls"],
            whole_percent(row["share"]) if row["share"] is not None else None,
            percent(row["agreement"]) if row["agreement"] is not None else None,
            row["p50_ms"],
            row["p95_ms"],
        )
        for name, row in replay["by_server"].items()
    ]
    terminal.table(
        ("served by", "calls", "share", "says what the LLM says", "p50 ms", "p95 ms"),
        rows,
        title=f"{replay['n_calls']} fresh calls of the simulated agent, through the gateway",
    )
    cost = replay["cost"]
    terminal.say(
        f"Their cost: {cost['routed_usd']:.4f} USD instead of {cost['llm_only_usd']:.4f} (assumed prices; the simulated "
        f"LLM answers ten times as fast as a hosted one)."
    )
    terminal.say(f"Calls, routes and tasks as a live page: deputize --home {home.path} dashboard --open")
    terminal.say(f"Report: {home.runs_path / str(report['run_id']) / 'report.html'}   ({seconds:.0f} s)")
