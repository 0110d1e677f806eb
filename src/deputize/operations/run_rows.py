"""Runs as JSON shows them, their reports, and how two of them differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from deputize.core.errors import BadInput
from deputize.core.report_schema import document
from deputize.home import Home
from deputize.library import read_report
from deputize.pipeline.run import read_state
from deputize.pipeline.stage_table import STEPS


def run_ids(home: Home) -> list[str]:
    """Every run of a home, newest first."""
    return sorted((p.parent.name for p in home.runs_path.glob("*/run.json")), reverse=True)


def run_rows(home: Home, tenant: str = "") -> list[dict[str, Any]]:
    """The runs of one tenant ("": of all), newest first."""
    return [run_row(home, id) for id in run_ids(home) if not tenant or _is_of(home, id, tenant)]


def _is_of(home: Home, run_id: str, tenant: str) -> bool:
    """True for a run of a tenant; one that cannot be read is nobody's."""
    try:
        return read_state(home, run_id).tenant == tenant
    except BadInput:
        return False


def run_row(home: Home, run_id: str) -> dict[str, Any]:
    """How far a run is, its calls, what was certified and what that serves.

    Raises:
        BadInput: its state or its report cannot be read.
    """
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


def report_document(home: Home, run_id: str | None = None, *, tenant: str = "") -> dict[str, Any]:
    """report.json of a run as plain values (the newest one that has a report; of a tenant where one is given).

    Raises:
        BadInput: as library.read_report.
    """
    found: dict[str, Any] = document(read_report(home, run_id, tenant=tenant))
    return found


def difference(home: Home, reports: tuple[dict[str, Any], dict[str, Any]]) -> dict[str, Any]:
    """The difference of two reports: settings, calls, share served, and the tasks side by side."""
    ids = [str(report["run_id"]) for report in reports]
    before, after = (read_state(home, id).settings for id in ids)
    names = sorted({*before, *after})
    return {
        "runs": ids,
        "settings": {n: (before.get(n), after.get(n)) for n in names if before.get(n) != after.get(n)},
        "n_calls": [int(report["source"]["n_calls"]) for report in reports],
        "share_served": [report["total"]["share_of_code_calls_served"] for report in reports],
        "tasks": compared_tasks(*reports),
    }


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
