"""The certificate of a route measured once more, on the engine and precision that serve in the home now.

The specialist stays as it is. Its validation calls give the thresholds, its calibration calls are asked again, and that is a second
test on the same groups: the ledger gives it what is left of delta, or the groups that no test has seen. Held-out calls may refuse it.
"""

from __future__ import annotations

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
    from deputize.pipeline.certificate_check import other_files
    from deputize.pipeline.certify_on_engine import certified
    from deputize.pipeline.run import Run, read_state

    if route.certificate is None:
        raise BadInput(f"Route {route.id} has no certificate.")
    run = Run(home, read_state(home, Path(route.specialist).parent.parent.name), progress)
    if run.config.scope == "all-routes":
        raise UsageError(
            f"Run {run.state.run_id} certified all of its routes together (scope = all-routes), so one of them cannot be "
            "measured again by itself: convert again."
        )
    finetuned, discovered = run.load("finetune", Finetuned), run.load("cluster", Discovered)
    if changed := other_files(home, route, finetuned):
        raise Tampered(f"{'; '.join(changed)}.")
    mine = [s for s in finetuned.specialists if s.path == route.specialist]
    task = [t for t in discovered.tasks if t.id == mine[0].task_id]
    found = certified(
        run,
        structs.replace(discovered, tasks=task),
        structs.replace(finetuned, specialists=mine),
        Deadline.after(None),
    )
    (result,) = found.results
    _keep(run, result)
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


def _keep(run: Run, result: TaskResult) -> None:
    """Seals a result with its run, so that its certificate can be computed again."""
    from deputize.pipeline.certificate_check import RECERTIFIED

    artifact = run.artifact(RECERTIFIED, Evaluated)
    before = artifact.read().results if artifact.exists else []
    artifact.write(Evaluated(results=[*(r for r in before if r.chosen != result.chosen), result]))
