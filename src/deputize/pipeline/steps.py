"""The steps after curation: each hands the results of the earlier ones to its stage and writes what comes of it.

What a stage needs is imported when the step is done, so that a command's help costs no torch.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from hashlib import blake2b
from typing import TYPE_CHECKING

from deputize.core.artifacts import Discovered, Finetuned, Selected
from deputize.core.config import AUDIT_SHARE
from deputize.core.contracts import needs_judge
from deputize.core.deadline import Deadline
from deputize.core.earlier_route import EarlierRoute
from deputize.core.errors import DeputizeError
from deputize.core.progress import note as say
from deputize.core.records import Answer
from deputize.core.task_results import Evaluated, TaskResult

if TYPE_CHECKING:
    from pathlib import Path

    from deputize.core.config import Convert, JudgeSettings
    from deputize.home import Home
    from deputize.pipeline.artifact import Artifact
    from deputize.pipeline.run import Run
    from deputize.upstreams.sync_client import SyncClient


def cluster(run: Run, out: Artifact[Discovered]) -> None:
    """Tasks, edited as a person has edited earlier ones, under the ids that they had in earlier runs."""
    from deputize.pipeline.edits_file import read_edits
    from deputize.stages.cluster import stable_ids, task_edits
    from deputize.stages.cluster.run import run as find_tasks

    curated = run.load_curated()
    found = find_tasks(curated, run.config, tenant=run.state.tenant, progress=run.progress)
    edited, notes = task_edits.apply(found, curated.examples, read_edits(run.home).edits)
    for note in notes:
        say(run.progress, note)
    before = _tasks_before(run)
    out.write(stable_ids.keep_ids(edited, before) if before is not None else edited)


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
    from deputize.specialists.catalogue import OWN_ROWS
    from deputize.stages.finetune.methods.registry import find_methods
    from deputize.stages.select.run import run as select_models
    from deputize.stages.select.task_feasibility import EarlierTests

    if missing := missing_encoder(run.config, run.home.models_path):
        say(run.progress, missing)
    curated, discovered = run.load_curated(), run.load("cluster", Discovered)
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
        )
    )


def missing_encoder(config: Convert, models: Path) -> str:
    """The sentence about a text encoder that has not been fetched and what goes without it; "" where nothing is missing."""
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
            deadline=Deadline.after(run.remaining_s()),
            progress=run.progress,
        )
    )


def evaluate(run: Run, out: Artifact[Evaluated]) -> None:
    """Certificates and scores for each task, on raw calls as the gateway would get them."""
    from deputize.pipeline.curation import LearnableCalls
    from deputize.pipeline.ledger_file import LedgerFile
    from deputize.scoring.costs import load_prices
    from deputize.specialists.model_cache import MODELS
    from deputize.specialists.predictor import load
    from deputize.specialists.writing.vllm_server import stop_servers
    from deputize.stages.evaluate.delta_budget import DeltaBudget, groups_by_task
    from deputize.stages.evaluate.judge import Judge
    from deputize.stages.evaluate.population import read_population
    from deputize.stages.evaluate.run import run as certify

    models, engine = run.home.models_path, run.home.engine_settings()
    curated, discovered = run.load_curated(), run.load("cluster", Discovered)
    settings = run.home.judge_settings()
    client = judge_client(settings) if any(needs_judge(task.contract) for task in discovered.tasks) else None
    run.progress("reading the calls to calibrate on", 0)
    population = read_population(LearnableCalls(run), curated, discovered, load_prices(run.home.path))
    with contextlib.closing(client) if client is not None else contextlib.nullcontext():
        results = certify(
            curated,
            discovered,
            run.load("select", Selected),
            run.load("finetune", Finetuned),
            population,
            run.config,
            home=run.home.path,
            load=lambda folder: load(folder, models, engine=engine),
            progress=run.progress,
            deadline=Deadline.after(run.remaining_s()),
            digest=answer_digest(run.home.keyring.derive("answers")),
            audit_share=audit_share_of(run.home),
            budget=DeltaBudget(
                run.state.run_id, LedgerFile(run.home), groups_by_task(curated, discovered), run.home.now
            ),
            judge=Judge(client, client.model, settings.max_questions) if client is not None else None,
        )
    # a process that goes on, such as the watch, does not keep them in memory
    MODELS.clear()
    stop_servers()
    results, earlier, outdated = _with_earlier_routes(run, results, discovered)
    out.write(
        Evaluated(
            results=results,
            earlier=earlier,
            outdated=outdated,
            n_missing_from_store=population.n_missing_from_store,
        )
    )


def judge_client(settings: JudgeSettings) -> SyncClient | None:
    """The client of the judge, None where none is set.

    Raises:
        UsageError: its key is not there.
    """
    if not settings.base_url:
        return None
    from deputize.upstreams.sync_client import SyncClient
    from deputize.upstreams.upstream_config import judge_upstream

    return SyncClient(judge_upstream(settings), settings.model)


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
    return keep_or_close_routes(results, discovered, file, evidence, unusable, run.config)


def audit_share_of(home: Home) -> float:
    """Share of served calls that the gateway of a home audits, as its settings say."""
    given = home.table("gateway").get("audit_share", AUDIT_SHARE)
    return float(given) if isinstance(given, int | float) else AUDIT_SHARE


def answer_digest(key: bytes) -> Callable[[Answer], str]:
    """A function from answers to digests that say nothing without the key; equal answers have equal ones."""

    def digest(answer: Answer) -> str:
        written = json.dumps(answer, sort_keys=True, ensure_ascii=False, default=repr)
        return blake2b(written.encode("utf-8", "surrogatepass"), key=key, digest_size=12).hexdigest()

    return digest
