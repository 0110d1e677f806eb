"""tasks: what recurs in a log, with or without a home."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, cast

import click
import msgspec

from deputize.cli.ids import whole_id, whole_run_id
from deputize.cli.jsonl import RowWriter
from deputize.cli.rights import tenant_of, tenant_option
from deputize.cli.terminal import Terminal, pass_terminal
from deputize.core.artifacts import Curated, Discovered, Skip
from deputize.core.errors import BadInput, UsageError
from deputize.core.records import Call, Field, FieldType, Route, RouteFile, Task
from deputize.core.text_measures import MEASURES, MeasureName
from deputize.home import Home

if TYPE_CHECKING:
    from deputize.pipeline.run_edits import Edited
    from deputize.stages.cluster.measure_figures import MeasureFigures
    from deputize.stages.cluster.task_edits import Edit

Changed: TypeAlias = "tuple[Discovered, Edit, Task | list[Task]]"


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
    from deputize.stages.collect.import_logs import read_calls

    written = RowWriter(terminal, path)
    calls: list[Call] = []
    for item in read_calls(path, agent=agent):
        if isinstance(item, Skip):
            written.skip(item)
        else:
            calls.append(item)
    if calls:
        with terminal.progress() as progress:
            rows = list(discover(calls, seed=seed, models_dir=terminal.home.models_path, progress=progress))
        for row in rows:
            written.row(row)
    written.end()


@tasks.command("list")
@click.argument("run_id", metavar="[RUN]", required=False)
@pass_terminal
def list_tasks(terminal: Terminal, /, run_id: str | None) -> None:
    """The tasks that a run has found (the newest by default), largest first."""
    found = sorted(
        _discovered(terminal, whole_run_id(terminal.home, run_id)).tasks, key=lambda task: -task.n_calls
    )
    rows = [
        (t.id, t.name + (" (hidden)" if t.hidden else ""), _contract(t), t.n_calls, t.n_episodes)
        for t in found
    ]
    terminal.result(found, lambda: terminal.table(("task", "name", "replies are", "calls", "episodes"), rows))


@tasks.command("merge")
@click.argument("first", metavar="ID")
@click.argument("second", metavar="ID")
@tenant_option
@pass_terminal
def merge_tasks(terminal: Terminal, /, first: str, second: str, tenant: str) -> None:
    """Make one task of two whose replies are of one kind. It keeps the first one's name; later runs merge them
    again."""
    from deputize.stages.cluster import task_edits

    _edit(
        terminal,
        lambda d, c, one, other: task_edits.merge(d, c.examples, one, other, at=time.time()),
        (first, second),
        tenant,
    )


@tasks.command("split")
@click.argument("task_id", metavar="ID")
@tenant_option
@pass_terminal
def split_task(terminal: Terminal, /, task_id: str, tenant: str) -> None:
    """Make one task per template of a task. Where its calls have one template there is nothing to split by."""
    from deputize.stages.cluster import task_edits

    _edit(terminal, lambda d, c, id: task_edits.split(d, c.examples, id, at=time.time()), (task_id,), tenant)


@tasks.command("rename")
@click.argument("task_id", metavar="ID")
@click.argument("name")
@tenant_option
@pass_terminal
def rename_task(terminal: Terminal, /, task_id: str, name: str, tenant: str) -> None:
    """Give a task a name of your own. Nothing is trained again; report and route take the name over."""
    from deputize.stages.cluster import task_edits

    done = _edit(
        terminal, lambda d, _, id: task_edits.rename(d, id, name, at=time.time()), (task_id,), tenant
    )
    _rename_elsewhere(terminal.home, done, _whole(done, task_id))


@tasks.command("hide")
@click.argument("task_id", metavar="ID")
@click.option("--undo", is_flag=True, help="Train and route it again.")
@tenant_option
@pass_terminal
def hide_task(terminal: Terminal, /, task_id: str, undo: bool, tenant: str) -> None:
    """Report a task but never train or route it. A route that serves its calls is closed at once."""
    from deputize.stages.cluster import task_edits

    change = task_edits.show if undo else task_edits.hide
    done = _edit(terminal, lambda d, _, id: change(d, id, at=time.time()), (task_id,), tenant)
    if not undo:
        whole = _whole(done, task_id)
        _close_routes(terminal, next(t for t in done.discovered.tasks if t.id == whole))


@tasks.command("field")
@click.argument("task_id", metavar="ID")
@click.argument("name", metavar="FIELD")
@click.argument("type_", metavar="TYPE", type=click.Choice(["value", "free", "label"]))
@tenant_option
@pass_terminal
def set_field_type(terminal: Terminal, /, task_id: str, name: str, type_: FieldType, tenant: str) -> None:
    """Say how a FIELD of a task's JSON replies is compared; later runs keep it.

    value: character by character. label: one of the values in the log. free: not at all, since nothing but a person
    reads it; certificates, the report and answers then name it as not compared.
    """
    from deputize.stages.cluster import task_edits

    _edit(
        terminal,
        lambda d, c, id: task_edits.set_field(d, c.examples, id, name, type_, at=time.time()),
        (task_id,),
        tenant,
        (name, type_),
    )


@tasks.command("measure")
@click.argument("task_id", metavar="ID")
@click.argument("measure", type=click.Choice([*MEASURES, "exact"]))
@click.option(
    "--level", type=click.FloatRange(0, 1, min_open=True), help="From which closeness on two texts agree."
)
@click.option(
    "--field", "name", metavar="FIELD", default="", help="Of JSON replies; else the whole reply is the text."
)
@tenant_option
@pass_terminal
def set_measure(
    terminal: Terminal, /, task_id: str, measure: str, level: float | None, name: str, tenant: str
) -> None:
    """Say from which closeness on two texts of a task agree; later runs keep it, and certificates name it.

    items: F1 of the lines or tuples in any order. words: F1 of the words. characters: share of the characters in the
    same order. exact: character by character, as without a measure. Without --level nothing is changed: the figures of
    the log show what the LLM's own second answers reach, and what chance does. judge: the LLM of [judge] in config.toml
    finds neither of two texts worse, asked in both orders; certificates, the report and answers then say that they are
    judged.
    """
    from deputize.core.text_measures import TextMeasure
    from deputize.stages.cluster import task_edits

    if measure == "judge":
        if name or level is not None:
            raise UsageError(
                "A judge compares whole replies and knows no level: leave --field and --level out."
            )
        if not terminal.home.judge_settings().base_url:
            raise UsageError(
                "There is no judge: name one in [judge] of config.toml, with base_url and model."
            )
        level = 1.0
    if measure != "exact" and level is None:
        _show_measure(terminal, task_id, cast(MeasureName, measure), name, tenant)
        return
    chosen = None
    if measure != "exact" and level is not None:
        chosen = TextMeasure(name=cast(MeasureName, measure), level=level)
    done = _edit(
        terminal,
        lambda d, c, id: task_edits.set_measure(d, c.examples, id, name, chosen, at=time.time()),
        (task_id,),
        tenant,
        tuple(filter(None, (name, measure, "" if level is None else f"{level:g}"))),
    )
    if chosen is not None and chosen.name != "judge":
        found = _measured(
            terminal.home, done.run_id, done.discovered, _whole(done, task_id), chosen.name, name
        )
        if found.different_requests is not None and found.different_requests[1] >= chosen.level:
            terminal.note(
                f"A tenth of the replies to different requests are that close too ({found.different_requests[1]:.2f}): at this "
                "level agreement says little. Take a higher one."
            )


def _show_measure(terminal: Terminal, given: str, measure: MeasureName, name: str, tenant: str) -> None:
    """The closeness of the replies of a task in the newest run."""
    from deputize.pipeline.run import latest_run
    from deputize.stages.cluster.task_edits import find

    home = terminal.home
    discovered = _discovered(terminal, latest_run(home, tenant or None))
    task = find(discovered, whole_id(given, (t.id for t in discovered.tasks), "task"))
    if task.contract.kind != "text" and name not in {f.name for f in task.contract.fields}:
        raise UsageError(
            f"{task.id}: a measure compares texts, and its replies are none. Name a field of them with --field."
        )
    found = _measured(home, latest_run(home, tenant or None) or "", discovered, task.id, measure, name)

    def show() -> None:
        for what, n, values, low in (
            ("equal requests", found.n_equal_requests, found.equal_requests, "a tenth below"),
            ("different requests", found.n_different_requests, found.different_requests, "a tenth above"),
        ):
            said = f"{values[0]:.2f} at the median, {low} {values[1]:.2f}" if values else "none to compare"
            terminal.say(f"Replies to {what} ({n} pairs): {said}")
        terminal.note(
            "Nothing was changed. A level (--level) above what replies to different requests reach, and at most what the LLM's own "
            "second answers reach, tells answers apart."
        )

    terminal.result({"task": task.id, "field": name, **msgspec.to_builtins(found)}, show)


def _measured(
    home: Home, run_id: str, discovered: Discovered, task_id: str, measure: MeasureName, name: str
) -> MeasureFigures:
    """The closeness of the replies of one task of a run."""
    from deputize.pipeline.run import Run, read_state
    from deputize.stages.cluster.measure_figures import measure_figures
    from deputize.stages.cluster.task_edits import find

    curated = Run(home, read_state(home, run_id)).load_curated()
    mine = [e for e in curated.examples if discovered.assignment.get(e.call_id) == task_id]
    return measure_figures(mine, find(discovered, task_id).contract, measure, name)


def _edit(
    terminal: Terminal,
    change: Callable[..., Changed],
    given: Sequence[str],
    tenant: str,
    more: Sequence[str] = (),
) -> Edited:
    """Makes an edit, notes it in the audit log and says what came of it.

    Args:
        terminal: of the command.
        change: (tasks, examples, ids of the tasks) -> what comes of it.
        given: the ids of the tasks, or beginnings of them.
        tenant: whose run; "": the newest.
        more: what else the audit log says that the edit is about.
    """
    from deputize.pipeline.run_edits import edit_tasks

    made: list[Task] = []
    action: list[str] = []
    about: list[str] = []

    def changed(discovered: Discovered, curated: Curated) -> tuple[Discovered, Edit]:
        ids = [whole_id(one, (t.id for t in discovered.tasks), "task") for one in given]
        about.extend([*ids, *more])
        after, edit, found = change(discovered, curated, *ids)
        made.extend(found if isinstance(found, list) else [found])
        action.append(edit.action)
        return after, edit

    done = edit_tasks(terminal.home, changed, tenant or None)
    terminal.home.audit.append(f"tasks.{action[0]}", subject=" ".join(about), detail={"run": done.run_id})
    document = {"run_id": done.run_id, "action": action[0], "tasks": made, "forgotten": list(done.forgotten)}

    def show() -> None:
        terminal.table(
            ("task", "name", "replies are", "calls"), [(t.id, t.name, _contract(t), t.n_calls) for t in made]
        )
        if len(made) > 1:
            for task in made:
                terminal.say(f"--- {task.id}\n{task.template}")

    terminal.result(document, show)
    if done.forgotten:
        terminal.note(
            f"What run {done.run_id} had made of the tasks before ({', '.join(done.forgotten)}) is forgotten; "
            f"`deputize convert` makes it again. Routes serve as before until then."
        )
    return done


def _whole(done: Edited, task_id: str) -> str:
    """The id of a task that was edited."""
    return whole_id(task_id, (t.id for t in done.discovered.tasks), "task")


def _rename_elsewhere(home: Home, done: Edited, task_id: str) -> None:
    """The new name in the run's report and in the route file; neither need be there."""
    from deputize.cli.report import read_report
    from deputize.routes_file import update_routes
    from deputize.web.page import write_report

    name = next(t.name for t in done.discovered.tasks if t.id == task_id)
    if (home.runs_path / done.run_id / "report.json").exists():
        report, folder = read_report(home.path, done.run_id)
        rows = [{**t, "name": name} if t["id"] == task_id else t for t in report["tasks"]]
        write_report(folder, {**report, "tasks": rows})
    if any(r.task_id == task_id for r in home.routes().routes):

        def named(file: RouteFile) -> RouteFile:
            def renamed(routes: list[Route]) -> list[Route]:
                return [
                    msgspec.structs.replace(r, task_name=name) if r.task_id == task_id else r for r in routes
                ]

            return msgspec.structs.replace(
                file, routes=renamed(file.routes), challengers=renamed(file.challengers)
            )

        update_routes(home.routes_path, named, home.routes_seal)


def _close_routes(terminal: Terminal, task: Task) -> None:
    from deputize.routes_file import update_routes

    home, keys = terminal.home, set(task.keys)
    open_ids = [
        r.id
        for file in (home.routes(),)
        for r in (*file.routes, *file.challengers)
        if r.state not in ("closed", "rolled_back") and keys.intersection(r.keys)
    ]
    if not open_ids:
        return

    def shut(file: RouteFile) -> RouteFile:
        routes = [
            msgspec.structs.replace(r, state="closed", share=1.0) if r.id in open_ids else r
            for r in file.routes
        ]
        challengers = [r for r in file.challengers if not keys.intersection(r.keys)]
        return msgspec.structs.replace(file, routes=routes, challengers=challengers)

    update_routes(home.routes_path, shut, home.routes_seal)
    for route_id in dict.fromkeys(open_ids):
        home.audit.append("route.close", subject=route_id, detail={"because": "its task is hidden"})
        terminal.note(f"{route_id} is closed: its calls go to the LLM.")


def _discovered(terminal: Terminal, run_id: str | None) -> Discovered:
    from deputize.pipeline.run import artifact_of, latest_run, read_state

    home, tenant = terminal.home, tenant_of(terminal)
    chosen = run_id or latest_run(home, tenant or None)
    if run_id and tenant:
        tenant_of(terminal, read_state(home, run_id).tenant)
    path = home.runs_path / (chosen or "") / "cluster.sealed"
    if chosen is None or not path.exists():
        raise BadInput(
            f"No run in {home.path} has found tasks yet. `deputize cluster` does it, `deputize convert` does all."
        )
    home.require_keys()
    home.audit.append("read.curated", subject=chosen, detail={"what": "tasks"})  # templates, labels
    return artifact_of(home, chosen, "cluster", Discovered).read()


def _contract(task: Task) -> str:
    contract = task.contract
    if contract.from_request:
        listed = (
            "of the list in the request" if contract.kind == "tool_call" else "as the request's schema says"
        )
        return f"{contract.kind.replace('_', ' ')} {listed}" + (
            " or left to the LLM" if contract.may_defer else ""
        )
    named = {
        "label": contract.labels,
        "json": [f.name + _compared(f) for f in contract.fields],
        "tool_call": contract.tools,
        "text": [f"compared by {contract.measure.in_words()}"] if contract.measure else [],
    }[contract.kind]
    shown = ", ".join(named[:4]) + (", ..." if len(named) > 4 else "")
    kind = contract.kind.replace("_", " ") + (" or left to the LLM" if contract.may_defer else "")
    return f"{kind}: {shown}" if shown else kind


def _compared(field: Field) -> str:
    """How a field is compared, where not character by character."""
    if field.measure is not None:
        return f" (compared by {field.measure.in_words()})"
    return " (not compared)" if field.type == "free" else ""
