"""The one table of the stages: from it come the order of the steps, their commands, rights, help texts and
artifacts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from deputize.core.artifacts import Curated, Discovered, Finetuned, Selected
from deputize.core.errors import UsageError
from deputize.core.records import Record
from deputize.core.task_results import Evaluated
from deputize.pipeline import curation, steps
from deputize.store.access.roles import Right

if TYPE_CHECKING:
    from deputize.pipeline.artifact import Artifact
    from deputize.pipeline.run import Run


@dataclass(frozen=True)
class Stage:
    """One stage of a run, after the calls are in the store."""

    step: str
    """Name of the step, its command and its artifact; folder of its code under `deputize.stages`."""
    paper_step: str
    """Its number in the paper's algorithm (arXiv 2506.02153, section 6)."""
    title: str
    """One sentence, the help text of its command."""
    artifact: type[Record]
    """Type of the record that it hands to the next stages."""
    run: Callable[[Run, Artifact[Any]], None]
    """Does the stage and writes the artifact."""
    facts: Callable[[Any], dict[str, Any]]
    """artifact -> the few figures that its command prints."""
    right: Right = Right.RUN_STAGES
    """What the user of its command must be allowed to do."""

    @property
    def help(self) -> str:
        """The title with the number that the paper gives the step."""
        return f"{self.title} (Step {self.paper_step} of the paper.)"


def _curated(done: Curated) -> dict[str, Any]:
    return {
        "n_calls": done.n_calls,
        "n_code_calls": done.n_code_calls,
        "n_examples": len(done.examples),
        "dropped": done.dropped,
        "entities": done.entities,
    }


def _discovered(done: Discovered) -> dict[str, Any]:
    return {
        "n_tasks": len(done.tasks),
        "tasks": {t.id: f"{t.name} ({t.n_calls})" for t in done.tasks},
        "unassigned": done.unassigned,
        "changes": dict(Counter(change.kind for change in done.changes)),
    }


def _selected(done: Selected) -> dict[str, Any]:
    return {
        "base_model": done.base_model,
        "plan": {t: " then ".join(methods) or "nothing" for t, methods in done.plan.items()},
        "feasibility": {t: f.sentence for t, f in done.feasibility.items()},
        "refused": done.refused,
    }


def _finetuned(done: Finetuned) -> dict[str, Any]:
    return {
        "n_specialists": len(done.specialists),
        "specialists": {
            s.id: f"{s.method}, validation accuracy {s.validation_accuracy}" for s in done.specialists
        },
        "refused": done.refused,
    }


def _evaluated(done: Evaluated) -> dict[str, Any]:
    return {
        "certified": [r.task_id for r in done.results if r.certificate],
        "refused": {r.task_id: r.refusal_reason for r in done.results if r.refusal_reason},
    }


STAGES: tuple[Stage, ...] = (
    Stage(
        "curate",
        "S2",
        "De-identify, filter, deduplicate and split the calls in the store.",
        Curated,
        curation.curate,
        _curated,
    ),
    Stage("cluster", "S3", "Find the recurring tasks.", Discovered, steps.cluster, _discovered),
    Stage("select", "S4", "Choose what to train for each task.", Selected, steps.select, _selected),
    Stage("finetune", "S5", "Train the specialists.", Finetuned, steps.finetune, _finetuned),
    Stage(
        "evaluate",
        "S6",
        "Certify the specialists, publish the routes, write the report.",
        Evaluated,
        steps.evaluate,
        _evaluated,
    ),
)
"""In the order in which they run; importing calls (S1) comes before them."""

STEPS: tuple[str, ...] = tuple(stage.step for stage in STAGES)


def stage_of(step: str) -> Stage:
    """The stage of that name. Raises UsageError for any other."""
    for stage in STAGES:
        if stage.step == step:
            return stage
    raise UsageError(f"{step!r} is not a stage; stages are {', '.join(STEPS)}")


def steps_from(step: str) -> tuple[str, ...]:
    """A step and all after it."""
    return STEPS[STEPS.index(step) :]
