"""The certificates of routes measured once more, on the engine and precision that serve in the home now.

The specialists stay as they are. Their validation calls give the thresholds, their calibration calls are asked again,
and that is a second test on the same groups: the ledger gives it what is left of delta, or the groups that no test has
seen. Held-out calls may refuse it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import structs

from deputize.core.artifacts import Discovered, Finetuned
from deputize.core.deadline import Deadline
from deputize.core.errors import BadInput, Tampered, UsageError
from deputize.core.progress import Progress, silent
from deputize.core.records import Certificate, Record, Route
from deputize.core.task_results import Evaluated, TaskResult

if TYPE_CHECKING:
    from deputize.home import Home
    from deputize.pipeline.run import Run


class Recertification(Record):
    """The result of a second measurement."""

    route_id: str
    run_id: str
    engine_before: str
    """"": the certificate does not say."""
    certificate: Certificate | None
    """The new one; None where the engine does not earn it."""
    reason: str
    """Why not; "" where it does."""


def recertify(home: Home, route: Route, *, progress: Progress = silent) -> Recertification:
    """Certifies a route's specialist on the engine of the home. The route file stays as it is.

    Raises:
        BadInput: the route has no certificate, or its run cannot be read.
        Tampered: the specialist is not the one that was certified.
        UsageError: the run certified all of its routes together.
    """
    run = _run_of(home, route, progress)
    if run.config.scope == "all-routes":
        raise UsageError(
            f"Run {run.state.run_id} certified all of its routes together (scope = all-routes), so one of them cannot be "
            "measured again by itself: `deputize route recertify --all` measures them all."
        )
    return _measured(home, run, [route])[0]


def recertify_all(
    home: Home, routes: Sequence[Route], *, progress: Progress = silent
) -> list[Recertification]:
    """Certifies the specialists of routes on the engine of the home, those of one run together; in the order of the
    routes.

    Where a run certified all of its routes together, what is claimed again holds of all routes given, together.

    Args:
        home: of the routes.
        routes: all that are to be in force afterwards; one without a certificate is left out.
        progress: called at each step.

    Raises:
        BadInput: a run cannot be read.
        Tampered: a specialist is not the one that was certified; nothing was measured.
    """
    runs: dict[str, tuple[Run, list[Route]]] = {}
    for route in routes:
        if route.certificate is not None:
            run = _run_of(home, route, progress)
            runs.setdefault(run.state.run_id, (run, []))[1].append(route)
    for run, mine in runs.values():
        _check_files(home, run, mine)
    return [one for run, mine in runs.values() for one in _measured(home, run, mine)]


def _run_of(home: Home, route: Route, progress: Progress) -> Run:
    from deputize.pipeline.run import Run, read_state

    if route.certificate is None:
        raise BadInput(f"Route {route.id} has no certificate.")
    return Run(home, read_state(home, Path(route.specialist).parent.parent.name), progress)


def _check_files(home: Home, run: Run, routes: Sequence[Route]) -> None:
    from deputize.pipeline.certificate_check import other_files

    finetuned = run.load("finetune", Finetuned)
    for route in routes:
        if changed := other_files(home, route, finetuned):
            raise Tampered(f"{'; '.join(changed)}.")


def _measured(home: Home, run: Run, routes: Sequence[Route]) -> list[Recertification]:
    """Routes of one run, measured together."""
    from deputize.pipeline.certify_on_engine import certified

    _check_files(home, run, routes)
    finetuned, discovered = run.load("finetune", Finetuned), run.load("cluster", Discovered)
    paths = {route.specialist for route in routes}
    mine = [s for s in finetuned.specialists if s.path in paths]
    tasks = [t for t in discovered.tasks if t.id in {s.task_id for s in mine}]
    found = certified(
        run,
        structs.replace(discovered, tasks=tasks),
        structs.replace(finetuned, specialists=mine),
        Deadline.after(None),
    )
    _keep(run, found.results)
    task_of = {s.path: s.task_id for s in mine}
    results = {result.task_id: result for result in found.results}
    return [_recertification(run, route, results[task_of[route.specialist]]) for route in routes]


def _recertification(run: Run, route: Route, result: TaskResult) -> Recertification:
    assert route.certificate is not None
    return Recertification(
        route_id=route.id,
        run_id=run.state.run_id,
        engine_before=route.certificate.engine,
        certificate=result.certificate,
        reason="" if result.certificate is not None else result.refusal_reason or "it was refused",
    )


def on_engine(route: Route, certificate: Certificate) -> Route:
    """The route with a certificate of another engine, in shadow: what it has earned was earned by other answers.

    One that a person closed stays closed.
    """
    return structs.replace(
        route,
        certificate=certificate,
        threshold=certificate.threshold,
        state="closed" if route.state == "closed" else "shadow",
        share=1.0,
        shadow=None,
    )


def _keep(run: Run, results: Sequence[TaskResult]) -> None:
    """Seals results with their run, so that their certificates can be computed again."""
    from deputize.pipeline.certificate_check import RECERTIFIED

    artifact, chosen = run.artifact(RECERTIFIED, Evaluated), {result.chosen for result in results}
    before = artifact.read().results if artifact.exists else []
    artifact.write(Evaluated(results=[*(r for r in before if r.chosen not in chosen), *results]))
