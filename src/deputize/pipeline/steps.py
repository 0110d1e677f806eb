"""The steps after curation: each hands the results of the earlier ones to its stage and writes what comes of it.

What a stage needs is imported when the step is done, so that a command's help costs no torch.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import msgspec

from deputize.core.artifacts import Curated, Discovered, Finetuned, Selected
from deputize.core.deadline import Deadline
from deputize.core.earlier_route import EarlierRoute
from deputize.core.errors import DeputizeError
from deputize.core.progress import note as say
from deputize.core.task_results import Evaluated, TaskResult
from deputize.stages.curate.synthetic import has_synthetic

if TYPE_CHECKING:
    from pathlib import Path

    from deputize.core.config import Convert
    from deputize.pipeline.artifact import Artifact
    from deputize.pipeline.run import Run


def cluster(run: Run, out: Artifact[Discovered]) -> None:
    """Tasks, edited as a person has edited earlier ones, under the ids that they had in earlier runs."""
    from deputize.pipeline.edits_file import read_edits
    from deputize.runner.registry import make_runner
    from deputize.stages.cluster import stable_ids, task_changes, task_edits
    from deputize.stages.cluster.run import run as find_tasks

    curated, runner = run.load_curated(), make_runner(run.home.runner_settings())
    found = find_tasks(curated, run.config, tenant=run.state.tenant, progress=run.progress, runner=runner)
    edits = read_edits(run.home).edits
    edited, notes = task_edits.apply(found, list(curated.examples) if edits else (), edits)
    for note in notes:
        say(run.progress, note)
    before = _tasks_before(run)
    if before is None:
        out.write(edited)
        return
    kept = stable_ids.keep_ids(edited, before)
    kept = msgspec.structs.replace(kept, changes=task_changes.changes(kept, before))
    for sentence in task_changes.sentences(kept.changes, kept, before):
        say(run.progress, f"tasks: {sentence}")
    out.write(kept)


def _tasks_before(run: Run) -> Discovered | None:
    """The tasks of the newest earlier run of the tenant; None where there is none, or its keys are erased."""
    from deputize.pipeline.run import artifact_of, read_state

    for path in sorted(run.home.runs_path.glob("*/cluster.sealed"), reverse=True):
        run_id = path.parent.name
        if run_id < run.state.run_id:
            try:
                if read_state(run.home, run_id).tenant != run.state.tenant:
                    continue
                return artifact_of(run.home, run_id, "cluster", Discovered).read()
            except DeputizeError as error:
                say(run.progress, f"the tasks of run {run_id} cannot be compared with: {error}")
    return None


def select(run: Run, out: Artifact[Selected]) -> None:
    """Base models and training methods for each task."""
    from deputize.pipeline.ledger_file import LedgerFile
    from deputize.pipeline.tuning_trial import TuningTrial
    from deputize.runner.registry import make_runner
    from deputize.specialists.catalogue import OWN_ROWS
    from deputize.stages.finetune.methods.registry import find_methods
    from deputize.stages.select.run import run as select_models
    from deputize.stages.select.task_feasibility import EarlierTests

    if missing := missing_encoder(run.config, run.home.models_path):
        say(run.progress, missing)
    curated, discovered = _training_data(run)
    methods, models = find_methods(run.config.methods), run.home.models_path
    tuner = TuningTrial(
        curated, discovered, run.config, methods, run.home.path, models, run.progress, time.monotonic
    )
    out.write(
        select_models(
            curated,
            discovered,
            run.config,
            methods=methods,
            models_dir=models,
            progress=run.progress,
            tests=EarlierTests(LedgerFile(run.home).read(), run.state.run_id),
            own_rows=[run.home.path / OWN_ROWS],
            tuner=tuner,
            runner=make_runner(run.home.runner_settings()),
        )
    )


def _training_data(run: Run) -> tuple[Curated, Discovered]:
    """Examples in memory, synthetic ones too, and the tasks with those assigned as the calls that they were made from."""
    from deputize.pipeline.example_stream import for_training, with_synthetic

    whole, discovered = run.load_curated(synthetic=True), run.load("cluster", Discovered)
    if has_synthetic(run.home.path):
        discovered = with_synthetic(discovered, whole)
    return for_training(whole, discovered.assignment, run.config.seed), discovered


def missing_encoder(config: Convert, models: Path) -> str:
    """The sentence about a text encoder that has not been fetched and what goes without it; "" where nothing is
    missing."""
    from deputize.specialists.catalogue import is_fetched
    from deputize.stages.finetune.methods.registry import AUTO, AUTO_METHODS

    methods = {*config.methods, *(AUTO_METHODS if AUTO in config.methods else ())}
    if "frozen" not in methods or is_fetched(config.encoder, models):
        return ""
    return (
        f"The text encoder {config.encoder} is not here, so the method frozen reads the larger language model instead, which is "
        f"slower. Get it with: deputize models fetch {config.encoder}"
    )


def finetune(run: Run, out: Artifact[Finetuned]) -> None:
    """Specialists in the run's folder; the artifact names them."""
    from deputize.pipeline.reserve_readings import ReserveReadings
    from deputize.runner.registry import make_runner
    from deputize.stages.finetune.run import run as train

    curated, discovered = _training_data(run)
    readings = ReserveReadings(run, curated, discovered)
    # keeps a part for calibration, held-out scoring and the report
    out.write(
        train(
            curated,
            discovered,
            run.load("select", Selected),
            run.config,
            home=run.home.path,
            out_dir=run.folder / "specialists",
            models_dir=run.home.models_path,
            deadline=Deadline.after(run.remaining_s()),
            progress=run.progress,
            teacher=run.home.teacher_settings(),
            runner=make_runner(run.home.runner_settings()),
            note_reading=readings.note,
            read_before=readings.before(),
        )
    )


def evaluate(run: Run, out: Artifact[Evaluated]) -> None:
    """Certificates and scores for each task, on raw calls as the gateway would get them."""
    from deputize.pipeline.certify_on_engine import certified

    discovered, finetuned = run.load("cluster", Discovered), run.load("finetune", Finetuned)
    found = certified(run, discovered, finetuned, Deadline.after(run.evaluation_s()))
    results, earlier, outdated = _with_earlier_routes(run, found.results, discovered)
    out.write(
        Evaluated(
            results=results,
            earlier=earlier,
            outdated=outdated,
            n_missing_from_store=found.n_missing_from_store,
        )
    )


def _with_earlier_routes(
    run: Run, results: list[TaskResult], discovered: Discovered
) -> tuple[list[TaskResult], list[EarlierRoute], dict[str, str]]:
    """The results, and what becomes of the published routes that none of them replaces."""
    from deputize.pipeline.earlier_routes import (
        keep_or_close_routes,
        routes_of,
        served_evidence,
        unusable_routes,
    )
    from deputize.stages.curate.traffic_sample import TrafficSample, traffic_sample

    try:
        file = run.home.routes()
    except DeputizeError as error:
        say(run.progress, f"no earlier route is kept: {error}")
        return results, [], {}
    file = routes_of(file, run.state.tenant)
    sample = traffic_sample(run.calls()) if file.routes else TrafficSample()
    evidence = served_evidence(run.calls(), file.routes, sample)
    unusable = unusable_routes(run.home, file)
    judge = run.home.judge_settings().model
    return keep_or_close_routes(results, discovered, file, evidence, unusable, run.config, judge)
