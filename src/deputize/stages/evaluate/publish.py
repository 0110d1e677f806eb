"""The route file of a run, from its certified results: a task without a certificate gets no route."""

from __future__ import annotations

from collections.abc import Sequence

from deputize.core.artifacts import Discovered, Finetuned
from deputize.core.records import Route, RouteFile, Task
from deputize.core.task_results import TaskResult


def route_file(
    run_id: str, discovered: Discovered, results: Sequence[TaskResult], finetuned: Finetuned
) -> RouteFile:
    """One closed route per certified task, in the order of the tasks; how it comes into service is decided
    elsewhere."""
    result_of = {r.task_id: r for r in results}
    specialist_of = {s.id: s for s in finetuned.specialists}
    routes = []
    for task in discovered.tasks:
        result = result_of.get(task.id)
        specialist = specialist_of.get(result.chosen) if result else None
        if result is None or specialist is None or result.certificate is None:
            continue
        routes.append(
            Route(
                id=route_id_of(task),
                task_id=task.id,
                task_name=task.name,
                tenant=task.tenant,
                keys=task.keys,
                contract=task.contract,
                specialist=specialist.path,
                threshold=result.certificate.threshold,
                state="closed",
                share=1.0,
                certificate=result.certificate,
                median_prompt_tokens_before=round(specialist.prompt_tokens_before or 0),
                median_prompt_tokens_after=round(specialist.prompt_tokens_after or 0),
            )
        )
    # every key space stays: a key can only be told from its neighbours with all of its lines
    return RouteFile(run_id=run_id, keyspaces=discovered.keyspaces, routes=routes)


def route_id_of(task: Task) -> str:
    """The id of the route of a task."""
    return f"route-{task.id}"
