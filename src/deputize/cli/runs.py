"""runs: the conversions of a home, and how two of them differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from deputize.cli.ids import whole_run_id
from deputize.cli.rights import tenant_of
from deputize.cli.terminal import Terminal, pass_terminal
from deputize.core.errors import BadInput
from deputize.home import Home
from deputize.pipeline.stage_table import STEPS


@click.group()
def runs() -> None:
    """The conversions of this home. A RUN may be shortened to any beginning that only one run has."""


@runs.command("list")
@pass_terminal
def list_runs(terminal: Terminal, /) -> None:
    """Every run, newest first: how far it is, its calls, what was certified and what that serves."""
    home, tenant = terminal.home, tenant_of(terminal)
    ids = sorted((p.parent.name for p in home.runs_path.glob("*/run.json")), reverse=True)
    rows = [_row(home, id) for id in ids]
    rows = [row for row in rows if not tenant or row["tenant"] == tenant]

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
                    None if row["share_served"] is None else f"{row['share_served']:.0%}",
                    f"{row['seconds'] / 60:.1f}",
                )
                for row in rows
            ],
        )

    terminal.result(rows, show)


def _row(home: Home, run_id: str) -> dict[str, Any]:
    """A run as JSON shows it."""
    from deputize.pipeline.run import read_state

    state = read_state(home, run_id)
    report = _report(home.runs_path / run_id)
    done = [step for step in STEPS if (home.runs_path / run_id / f"{step}.sealed").exists()]
    tasks = report["tasks"] if report is not None else None
    return {
        "run_id": run_id,
        "tenant": state.tenant,
        "finished": state.finished,
        "last_stage": done[-1] if done else None,
        "n_calls": state.n_calls,
        "n_tasks": None if tasks is None else len(tasks),
        "n_certified": None if tasks is None else sum(t["certificate"] is not None for t in tasks),
        "share_served": None if report is None else report["total"]["share_of_code_calls_served"],
        "epsilon": state.settings.get("epsilon"),
        "seconds": sum(state.timings_s.values()),
    }


def _report(folder: Path) -> dict[str, Any] | None:
    """report.json of a run, whatever version wrote it; None where there is none."""
    try:
        return msgspec.json.decode((folder / "report.json").read_bytes(), type=dict[str, Any])
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise BadInput(f"{folder / 'report.json'} cannot be read: {error}") from error


@runs.command("diff")
@click.argument("first", metavar="RUN")
@click.argument("second", metavar="RUN")
@pass_terminal
def diff_runs(terminal: Terminal, /, first: str, second: str) -> None:
    """Compare two runs: settings that differ, and for each task the method, the share served and the held-out loss.

    Tasks are the same where their id is. A task's share and loss are of each run's own held-out calls.
    """
    from deputize.cli.report import read_report

    tenant = tenant_of(terminal)
    reports = [
        read_report(terminal.home.path, whole_run_id(terminal.home, run), tenant=tenant)[0]
        for run in (first, second)
    ]
    settings = _settings_diff(terminal.home, *(str(report["run_id"]) for report in reports))
    tasks = compared_tasks(*reports)
    shares = [report["total"]["share_of_code_calls_served"] for report in reports]
    ids = [str(report["run_id"]) for report in reports]
    calls = [int(report["source"]["n_calls"]) for report in reports]
    document = {
        "runs": ids,
        "settings": settings,
        "n_calls": calls,
        "share_served": shares,
        "tasks": tasks,
    }

    def show() -> None:
        terminal.say(" -> ".join(ids))
        for name, (before, after) in settings.items():
            terminal.say(f"  {name}: {before} -> {after}")
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
            for task in tasks
        ]
        terminal.table(heads, rows)

    terminal.result(document, show)


def compared_tasks(first: dict[str, Any], second: dict[str, Any]) -> list[dict[str, Any]]:
    """The tasks of two reports side by side; of a task that only one has, the other's figures are None."""
    sides = [{task["id"]: task for task in report["tasks"]} for report in (first, second)]
    return [
        {
            "id": id,
            "name": (sides[1].get(id) or sides[0][id])["name"],
            "in": [id in side for side in sides],
            "method": [_method(side.get(id)) for side in sides],
            "share_served": [_held_out(side.get(id), "share_served") for side in sides],
            "loss": [_held_out(side.get(id), "loss_difference") for side in sides],
        }
        for id in dict.fromkeys([*sides[1], *sides[0]])
    ]


def _method(task: dict[str, Any] | None) -> str | None:
    """The method of a certified task; "refused" for another, None where there is no such task."""
    if task is None:
        return None
    return task["specialist"]["method"] if task["certificate"] and task["specialist"] else "refused"


def _held_out(task: dict[str, Any] | None, figure: str) -> float | None:
    return task["held_out"][figure] if task and task["certificate"] and task["held_out"] else None


def _settings_diff(home: Home, first: str, second: str) -> dict[str, tuple[Any, Any]]:
    from deputize.pipeline.run import read_state

    before, after = (read_state(home, run).settings for run in (first, second))
    names = sorted({*before, *after})
    return {n: (before.get(n), after.get(n)) for n in names if before.get(n) != after.get(n)}


def _percent(value: float | None, digits: int = 0) -> str | None:
    return None if value is None else f"{value:.{digits}%}"


def _change(pair: list[Any]) -> str:
    before, after = ("–" if value is None else str(value) for value in pair)
    return after if before == after else f"{before} -> {after}"
