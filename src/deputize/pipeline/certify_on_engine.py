"""Certificates of a run's specialists, measured on the engine that serves in the home."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from deputize.core.artifacts import Discovered, Finetuned, Selected
from deputize.core.config import AUDIT_SHARE
from deputize.core.contracts import needs_judge
from deputize.core.deadline import Deadline
from deputize.core.records import Answer
from deputize.core.task_results import TaskResult

if TYPE_CHECKING:
    from deputize.core.config import JudgeSettings
    from deputize.home import Home
    from deputize.pipeline.run import Run
    from deputize.specialists.predictor import SpecialistPredictor
    from deputize.stages.evaluate.evaluated_method import Load
    from deputize.upstreams.sync_client import SyncClient


class Certified(NamedTuple):
    """Results of evaluation."""

    results: list[TaskResult]
    n_missing_from_store: int
    """Calls of validation, calibration and test that had left the store (erased, expired) and were left out."""


def certified(run: Run, discovered: Discovered, finetuned: Finetuned, deadline: Deadline) -> Certified:
    """The result of each task: its specialists asked raw calls as the gateway would get them, on the engine of the
    home.

    Args:
        run: whose calls, selection and settings.
        discovered: the tasks to certify, all or some of the run's.
        finetuned: their specialists, all or some of the run's.
        deadline: the end of all evaluation.
    """
    from deputize.pipeline.asked_workers import asked_on_workers
    from deputize.pipeline.curation import LearnableCalls
    from deputize.pipeline.example_stream import for_counting
    from deputize.pipeline.ledger_file import LedgerFile
    from deputize.scoring.costs import load_prices
    from deputize.stages.evaluate.delta_budget import DeltaBudget, groups_by_task
    from deputize.stages.evaluate.judge import Judge
    from deputize.stages.evaluate.listed_in_training import least_unseen
    from deputize.stages.evaluate.population import AnswersInTraining, read_population
    from deputize.stages.evaluate.run import run as certify

    # the commonest answer in training is all that is read of its texts
    home, training = run.home, AnswersInTraining(discovered)
    curated = for_counting(run.load_curated(), training.see)
    settings = home.judge_settings()
    client = judge_client(settings) if any(needs_judge(task.contract) for task in discovered.tasks) else None
    run.progress("reading the calls to calibrate on", 0)
    population = read_population(
        LearnableCalls(run),
        curated,
        discovered,
        load_prices(home.path),
        least_unseen=least_unseen(run.config),
        training=training,
        unread_reserve=finetuned.unread_reserve,
    )
    with (
        contextlib.closing(client) if client is not None else contextlib.nullcontext(),
        serving_loader(home) as load_here,
        asked_on_workers(home, finetuned.specialists, load_here) as load,
    ):
        results = certify(
            curated,
            discovered,
            run.load("select", Selected),
            finetuned,
            population,
            run.config,
            home=home.path,
            load=load,
            progress=run.progress,
            deadline=deadline,
            digest=answer_digest(home.keyring.derive("answers")),
            audit_share=audit_share_of(home),
            budget=DeltaBudget(
                run.state.run_id, LedgerFile(home), groups_by_task(curated, discovered), home.now
            ),
            judge=Judge(client, client.model, settings.max_questions) if client is not None else None,
        )
    return Certified(results, population.n_missing_from_store)


@contextlib.contextmanager
def serving_loader(home: Home) -> Iterator[Load]:
    """From a specialist's folder to what predicts as the engine of the home does; what was started for it ends with the
    block.

    Raises:
        UsageError: config.toml names an engine that there is not.
    """
    from deputize.specialists.model_cache import MODELS
    from deputize.specialists.predictor import load
    from deputize.specialists.serving.engine_predictor import AskedEngine
    from deputize.specialists.serving.registry import OURS, make_engine
    from deputize.specialists.writing.vllm_server import stop_servers

    engine, models = home.engine_settings(), home.models_path
    if engine.kind not in OURS:
        with AskedEngine(make_engine(engine, home.path, models), home.path) as asked:
            yield asked.load
        return

    def load_here(folder: Path) -> SpecialistPredictor:
        return load(folder, models, engine=engine)

    try:
        yield load_here
    finally:
        # a process that goes on, such as the watch, does not keep them in memory
        MODELS.clear()
        stop_servers()


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
