"""report: the last run again, as a table, as JSON or in the browser."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from deputize import library
from deputize.cli.ids import whole_run_id
from deputize.cli.rights import tenant_of
from deputize.cli.terminal import Terminal, pass_terminal
from deputize.core.errors import BadInput
from deputize.core.report_schema import document
from deputize.home import Home
from deputize.maintenance.lineage import TrainedOnErased


def read_report(home: Path, run_id: str | None = None, *, tenant: str = "") -> tuple[dict[str, Any], Path]:
    """report.json of a run (the newest one that has a report; of a tenant where one is given) and its folder.

    Raises:
        BadInput: as library.read_report.
    """
    opened = Home(home)
    found = library.read_report(opened, run_id, tenant=tenant)
    return document(found), opened.runs_path / found.run_id


def mark_erased(home: Path, trained: Iterable[TrainedOnErased]) -> None:
    """Marks in the reports of runs the specialists that were trained on calls erased since."""
    from deputize.web.page import write_report

    by_run: dict[str, dict[str, int]] = {}
    for one in trained:
        by_run.setdefault(one.run_id, {})[one.specialist] = len(one.erased)
    for run_id, erased in by_run.items():
        try:
            document, folder = read_report(home, run_id)
        except BadInput:
            continue  # a run that has not come as far as a report
        for task in document["tasks"]:
            if task["specialist"] and task["specialist"]["id"] in erased:
                task["specialist"]["n_erased"] = erased[task["specialist"]["id"]]
        write_report(folder, document)


def show_report(terminal: Terminal, report: dict[str, Any], *, details: bool = False) -> None:
    """The report for a reader, and where the rest is."""
    from deputize.web.summary import brief, render

    terminal.show(render(report) if details else brief(report))
    page = terminal.home.runs_path / str(report["run_id"]) / "report.html"
    if page.exists():
        terminal.say(f"The page with plots: {page}")
    if not details:
        terminal.say(f"Intervals, leak tests, reasons: deputize report {report['run_id']} --details")


@click.command()
@click.argument("run_id", metavar="[RUN]", required=False)
@click.option("--tenant", default="", metavar="NAME", help="The newest run of this tenant.")
@click.option("--details", is_flag=True, help="With accuracies, levels, each leak test, and every reason.")
@click.option("--open", "open_page", is_flag=True, help="Open the page in the browser.")
@pass_terminal
def report(terminal: Terminal, /, run_id: str | None, tenant: str, details: bool, open_page: bool) -> None:
    """Show the report of a run (the newest by default)."""
    document, folder = read_report(
        terminal.home.path, whole_run_id(terminal.home, run_id), tenant=tenant_of(terminal, tenant)
    )
    terminal.result(document, lambda: show_report(terminal, document, details=details))
    if open_page:
        page = folder / "report.html"
        if not page.exists():
            raise BadInput(f"{page} is missing; `deputize evaluate` writes it again.")
        click.launch(page.as_uri())
