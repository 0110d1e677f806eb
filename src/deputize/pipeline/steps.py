"""The steps after curation: each hands the results of the earlier ones to its stage and writes what comes of it.

What a stage needs is imported when the step is done, so that a command's help costs no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from deputize.core.artifacts import Discovered, Evaluated, Finetuned, Selected

if TYPE_CHECKING:
    from deputize.pipeline.artifact import Artifact
    from deputize.pipeline.run import Run


def cluster(run: Run, out: Artifact[Discovered]) -> None:
    """Tasks, edited as a person has edited earlier ones, under the ids that they had in earlier runs."""
    from deputize.pipeline.edits_file import read_edits
    from deputize.stages.cluster import stable_ids, task_edits
    from deputize.stages.cluster.run import run as find_tasks

    curated = run.load_curated()
    found = find_tasks(curated, run.config, progress=run.progress)
    edited, notes = task_edits.apply(found, curated.examples, read_edits(run.home).edits)
    for note in notes:
        run.progress(note, 0)
    before = _tasks_before(run)
    out.write(stable_ids.keep_ids(edited, before) if before is not None else edited)


def _tasks_before(run: Run) -> Discovered | None:
    """The tasks of the newest earlier run; None where there is none, or its keys are erased."""
    from deputize.core.errors import DeputizeError
    from deputize.pipeline.run import artifact_of

    for path in sorted(run.home.runs_path.glob("*/cluster.sealed"), reverse=True):
        run_id = path.parent.name
        if run_id < run.state.run_id:
            try:
                return artifact_of(run.home, run_id, "cluster", Discovered).read()
            except DeputizeError as error:
                run.progress(f"the tasks of run {run_id} cannot be compared with: {error}", 0)
    return None


def select(run: Run, out: Artifact[Selected]) -> None:
    """Base models and training methods for each task."""
    from deputize.stages.finetune.methods.registry import find_methods
    from deputize.stages.select.run import run as select_models

    out.write(
        select_models(
            run.load_curated(),
            run.load("cluster", Discovered),
            run.config,
            methods=find_methods(run.config.methods),
            models_dir=run.home.models_path,
            progress=run.progress,
        )
    )


def finetune(run: Run, out: Artifact[Finetuned]) -> None:
    """Specialists in the run's folder; the artifact names them."""
    from deputize.stages.finetune.run import run as train

    # keeps a part for calibration, held-out scoring and the report
    out.write(
        train(
            run.load_curated(),
            run.load("cluster", Discovered),
            run.load("select", Selected),
            run.config,
            home=run.home.path,
            out_dir=run.folder / "specialists",
            models_dir=run.home.models_path,
            deadline_s=run.remaining_s(),
            progress=run.progress,
        )
    )


def evaluate(run: Run, out: Artifact[Evaluated]) -> None:
    """Certificates and scores for each task."""
    from deputize.specialists.model_cache import MODELS
    from deputize.specialists.predictor import load
    from deputize.stages.evaluate.run import run as certify

    models = run.home.models_path
    results = certify(
        run.load_curated(),
        run.load("cluster", Discovered),
        run.load("select", Selected),
        run.load("finetune", Finetuned),
        run.config,
        home=run.home.path,
        load=lambda folder: load(folder, models),
        progress=run.progress,
        deadline_s=run.remaining_s(),
    )
    MODELS.clear()  # a process that goes on, such as the watch, does not keep them in memory
    out.write(Evaluated(results=results))
