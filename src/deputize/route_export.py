"""Export of a route's specialist out of a home: written, loaded back, and compared on held-out calls before it is in
place."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from deputize.core import artifacts as art
from deputize.core.errors import DeputizeError, Tampered, UsageError
from deputize.core.progress import Progress
from deputize.core.records import Example, Record, Request, Route, Split
from deputize.home import Home
from deputize.locations import models_path
from deputize.maintenance.lineage import ClearTextCopy, note_copy, specialists_of
from deputize.pipeline.run import artifact_of
from deputize.specialists import predictor
from deputize.specialists.export_forms import export_folder
from deputize.specialists.export_forms.base import ExportForm
from deputize.specialists.export_forms.comparison import ExportComparison, compare
from deputize.specialists.export_forms.registry import export_form
from deputize.specialists.registry import StoredSpecialist
from deputize.specialists.specialist_card import CARD, digest_of, read_card, settings_of
from deputize.store.access.audit_log import acting_name
from deputize.store.published.shared_exports import SharedExports

HELD_OUT: tuple[Split, ...] = ("test", "calibration")
"""Splits that requests of the comparison are from, in this order."""


class ExportedRoute(Record):
    """An export that is in place."""

    route: str
    form: str
    precision: str
    folder: str
    comparison: ExportComparison
    sentence: str


def export_route(
    home: Home,
    route: Route,
    run_id: str,
    form_name: str,
    out: Path,
    *,
    precision: str = "",
    n_compared: int = 50,
    progress: Progress,
) -> ExportedRoute:
    """Writes a route's specialist into a folder in a form that other engines load. Nothing is left where it fails.

    Args:
        home: of the route.
        route: whose specialist it is.
        run_id: the run that the route is of: its held-out calls are asked, de-identified as they were curated.
        form_name: of the export.
        out: a new or empty folder.
        precision: of the weights; "": the form's default.
        n_compared: most requests to compare answers on.
        progress: called at each step.

    Raises:
        BadInput: the folder is not empty, or the base model has changed since training.
        MissingExtra: a package or the base model is not here.
        Tampered: the specialist is not the one that was published.
        UsageError: no such form or precision, or the form makes no sense for this specialist.
    """
    folder = home.path / route.specialist
    if route.card_sha256 and digest_of(folder / CARD) != route.card_sha256:
        raise Tampered(f"{folder} is not the specialist that route {route.id} was published with.")
    card = read_card(folder)
    stored = StoredSpecialist(folder, card, settings_of(card), models_path())
    form = export_form(form_name, stored)
    form.require()
    chosen = precision or form.precisions[0]
    if chosen not in form.precisions:
        raise UsageError(f"{form.name} has no precision {chosen!r}. It has: {', '.join(form.precisions)}.")
    detail = {"form": form.name, "precision": chosen}
    home.audit.append("export.route", subject=route.id, tenant=route.tenant, detail=detail)
    fresh = export_folder.begin(out)
    try:
        progress(f"writing {form.name}", 0)
        loading = form.write(stored, fresh, chosen)
        compared = _compared(home, route, run_id, form, stored, fresh, n_compared, progress)
        export_folder.describe(stored, route, form, loading, compared, fresh)
        _note(home, route, form.name, out)
        export_folder.finish(fresh, out)
    except BaseException:
        shutil.rmtree(fresh, ignore_errors=True)
        raise
    return ExportedRoute(
        route=route.id,
        form=form.name,
        precision=chosen,
        folder=str(out),
        comparison=compared,
        sentence=compared.sentence,
    )


def _note(home: Home, route: Route, form: str, out: Path) -> None:
    """Notes what the specialist was trained on, so that an erasure names the export too."""
    learned = next((one.trained_on for one in specialists_of(home) if one.path == route.specialist), [])
    if learned:
        what = f"specialist of route {route.id} as {form}"
        by, path = acting_name(), str(out.resolve())
        note_copy(
            home,
            ClearTextCopy(path=path, what=what, by=by, at=time.time(), call_ids=learned, is_weights=True),
        )


def shared_exports(home: Home) -> SharedExports:
    """The exports that a home shares with others. Raises UsageError where it shares nothing."""
    if home.published is None:
        raise UsageError(
            f"{home.config_path} names no object store that exports are shared in: write [objects] with url."
        )
    return SharedExports(home.keyring, home.audit, home.published)


def _compared(
    home: Home,
    route: Route,
    run_id: str,
    form: ExportForm,
    stored: StoredSpecialist,
    folder: Path,
    most: int,
    progress: Progress,
) -> ExportComparison:
    """The export in a folder beside the specialist that the gateway serves with."""
    requests, source = held_out(home, route, run_id, most)
    progress(f"comparing on {len(requests)} requests", 0)
    own, loaded = predictor.load(stored.folder, stored.models_dir), form.load(stored, folder)
    return compare(own, loaded, requests, route.threshold, source)


def held_out(home: Home, route: Route, run_id: str, most: int) -> tuple[list[Request], str]:
    """(requests of held-out calls of a route's task, where they are from); none where the run has been forgotten."""
    try:
        assignment = artifact_of(home, run_id, "cluster", art.Discovered).read().assignment
        mine = list(_examples(home, route, run_id, assignment))
    except (DeputizeError, OSError):
        return [], ""
    gone = home.store.erased([example.call_id for example in mine])
    for split in HELD_OUT:
        found = [e for e in mine if e.split == split and e.call_id not in gone]
        if found:
            # evenly from the whole split
            step = max(1, len(found) // max(1, most))
            return [e.request for e in found[::step][:most]], f"{split} calls of run {run_id}, de-identified"
    return [], ""


def _examples(home: Home, route: Route, run_id: str, assignment: dict[str, str]) -> Iterator[Example]:
    for record in artifact_of(home, run_id, "curate", art.Curated).parts():
        if not isinstance(record, Example) or record.split not in HELD_OUT:
            continue
        if assignment.get(record.call_id) == route.task_id:
            yield record
