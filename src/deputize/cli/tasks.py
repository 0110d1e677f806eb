"""tasks: what recurs in a log, with or without a home."""

from __future__ import annotations

from pathlib import Path

import click

from deputize.cli.lines import Written
from deputize.cli.terminal import Terminal, pass_terminal
from deputize.core.artifacts import Discovered, Skip
from deputize.core.config import models_path
from deputize.core.errors import BadInput
from deputize.core.records import Call, Task


@click.group()
def tasks() -> None:
    """The recurring tasks in an agent's calls."""


@tasks.command("discover")
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--agent", default="", help="Name the calls' agent where the log has none.")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@pass_terminal
def discover_file(terminal: Terminal, /, path: Path, agent: str, seed: int) -> None:
    """Name the task of every call in PATH (JSONL, plain or .gz); JSONL comes out. Nothing is stored or trained."""
    from deputize.stages.cluster.run import discover
    from deputize.stages.collect.importers import read_calls

    written = Written(terminal, path)
    calls: list[Call] = []
    for item in read_calls(path, agent=agent):
        if isinstance(item, Skip):
            written.skip(item)
        else:
            calls.append(item)
    if calls:
        with terminal.progress() as progress:
            rows = list(discover(calls, seed=seed, models_dir=models_path(), progress=progress))
        for row in rows:
            written.row(row)
    written.end()


@tasks.command("list")
@click.argument("run_id", metavar="[RUN]", required=False)
@pass_terminal
def list_tasks(terminal: Terminal, /, run_id: str | None) -> None:
    """The tasks that a run has found (the newest by default), largest first."""
    found = sorted(_discovered(terminal.home, run_id).tasks, key=lambda task: -task.n_calls)
    rows = [(t.id, t.name, _contract(t), t.n_calls, t.n_episodes) for t in found]
    terminal.result(found, lambda: terminal.table(("task", "name", "replies are", "calls", "episodes"), rows))


def _discovered(home: Path, run_id: str | None) -> Discovered:
    from deputize.pipeline import latest_run
    from deputize.store.keys import KeyRing
    from deputize.store.sealed import read_sealed

    chosen = run_id or latest_run(home)
    path = home / "runs" / (chosen or "") / "cluster.sealed"
    if chosen is None or not path.exists():
        raise BadInput(
            f"No run in {home} has found tasks yet. `deputize cluster` does it, `deputize convert` does all."
        )
    return read_sealed(path, Discovered, KeyRing.open(home, create=False))


def _contract(task: Task) -> str:
    contract = task.contract
    named = {
        "label": contract.labels, "json": [f.name for f in contract.fields], "tool_call": contract.tools, "text": [],
    }[contract.kind]  # fmt: skip
    shown = ", ".join(named[:4]) + (", ..." if len(named) > 4 else "")
    kind = contract.kind.replace("_", " ") + (" or left to the LLM" if contract.may_leave else "")
    return f"{kind}: {shown}" if shown else kind
