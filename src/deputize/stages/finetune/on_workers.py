"""Trains on the workers of a runner: a shard is the jobs of a task, and of the tasks that it shares an adapter with.

A worker gets prompts and answers of the training sets and gives back cards and the files of the specialists, which it
keeps in a temporary folder meanwhile; this process writes them to where they belong. So the workers need no home and
no key.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeAlias

import msgspec

from deputize.core.artifacts import Candidate, CrossFitted, Specialist
from deputize.core.config import Convert
from deputize.core.deadline import Deadline
from deputize.core.progress import silent
from deputize.core.records import Task
from deputize.runner.base import NoWorkers, Resources, Runner, Workers, map_shards
from deputize.specialists.packed_files import Files, pack, unpack
from deputize.stages.finetune.fingerprint import finished
from deputize.stages.finetune.methods.base import TrainingContext, TrainingJob
from deputize.stages.finetune.schedule import work_of

MIN_EXAMPLES_HERE = 20_000
"""Training examples of all jobs from which processes of this machine, which take seconds to start, save time."""


class TrainedJobs(NamedTuple):
    """Outcome of some jobs."""

    specialists: list[Specialist]
    not_needed: dict[str, list[Candidate]]
    """By task, methods that were left out, with the reason."""
    refused: dict[str, str]
    """By task, why it has no specialist."""
    cross_fitted: dict[str, CrossFitted]
    """By specialist, where the log has a reserve."""
    read_reserve: set[str]
    """Tasks of which a training has read the reserve."""


TrainJobs: TypeAlias = Callable[
    [Sequence[TrainingJob], TrainingContext, Deadline, Sequence[Specialist]], TrainedJobs
]
"""Trains jobs of tasks of which some specialists may be there already."""


class JobShard(NamedTuple):
    """Jobs for a worker; their folders are relative to the home."""

    jobs: list[TrainingJob]
    seconds: float
    """For all of them."""
    before: list[Specialist]
    """Specialists of the same tasks that are trained already."""
    files: Mapping[str, Files]
    """Those of `before`, by folder relative to the home."""


class ShardResult(NamedTuple):
    """Result of a worker."""

    trained: TrainedJobs
    files: Mapping[str, Files]
    """Of the specialists, by folder relative to the home."""


@dataclass(frozen=True)
class TrainsShards:
    """Makes the function of a worker that trains shards; can be pickled."""

    config: Convert
    base_model: str
    models_dir: Path
    train: TrainJobs

    def __call__(self) -> Callable[[JobShard], ShardResult]:
        here = TrainingContext(self.config, Path(), self.models_dir, self.base_model, silent, time.monotonic)
        return partial(self._train, here)

    def _train(self, shared: TrainingContext, shard: JobShard) -> ShardResult:
        with tempfile.TemporaryDirectory(prefix="training-") as folder:
            home = Path(folder)
            # what was computed for one shard, such as states of prompts, is there for the next one
            context = replace(shared, home=home)
            jobs = [_moved(job, lambda path: home / path) for job in shard.jobs]
            for job in jobs:
                job.folder.parent.mkdir(parents=True, exist_ok=True)
            for path, files in shard.files.items():
                unpack(home / path, files)
            until = Deadline.after(shard.seconds, context.clock)
            trained = self.train(jobs, context, until, shard.before)
            return ShardResult(trained, pack(home, trained.specialists))


@dataclass(frozen=True)
class OnWorkers:
    """The part of a run's training that goes to workers."""

    runner: Runner | None
    context: TrainingContext
    deadline: Deadline
    train_jobs: TrainJobs

    def train(
        self,
        jobs: Sequence[TrainingJob],
        done: list[Specialist],
        not_needed: dict[str, list[Candidate]],
        refused: dict[str, str],
    ) -> list[TrainingJob]:
        """Trains jobs on workers and gives back those that are left to this process: all, where workers save no time.

        Args:
            jobs: all of methods that tune a base model, or none.
            done: the specialists so far; those of the workers are added.
            not_needed: methods that were left out, by task; added to.
            refused: why a task has no specialist; added to.
        """
        if self.runner is None:
            return list(jobs)
        # what an earlier start of this run has finished is here and not with the workers
        groups = [group for group in _groups(jobs) if not any(finished(job) for job in group)]
        make = TrainsShards(
            self.context.config, self.context.base_model, self.context.models_dir, self.train_jobs
        )
        with self._workers(make, groups) as workers:
            if not workers.n:
                return list(jobs)
            for result in self._results(workers, make, groups, done):
                done += result.specialists
                for task_id, rows in result.not_needed.items():
                    not_needed.setdefault(task_id, []).extend(rows)
                refused.update(result.refused)
                self.context.cross_fitted.update(result.cross_fitted)
                self.context.read_reserve.update(result.read_reserve)
        sent = {job.folder for group in groups for job in group}
        return [job for job in jobs if job.folder not in sent]

    def _workers(self, make: TrainsShards, groups: list[list[TrainingJob]]) -> Workers:
        """Workers that train jobs; none where this process is as quick.

        Jobs with a base model take all cores of this machine as it is, so they only go to workers that are elsewhere;
        the key of a teacher's server goes nowhere.
        """
        jobs = [job for group in groups for job in group]
        has_base = any(job.method.base_model(self.context) for job in jobs)
        if self.runner is None or len(groups) < 2 or (has_base and self.context.teacher.base_url):
            return NoWorkers()
        n_examples = sum(len(job.examples.train) for job in jobs)
        if self.runner.is_here and (has_base or n_examples < MIN_EXAMPLES_HERE):
            return NoWorkers()
        return self.runner.start(make, resources=self.runner.for_models if has_base else Resources())

    def _results(
        self,
        workers: Workers,
        make: TrainsShards,
        groups: list[list[TrainingJob]],
        done: Sequence[Specialist],
    ) -> Iterator[TrainedJobs]:
        """The outcome of each group in order, its specialists written into the home."""
        home, tasks = self.context.home, list[Task]()
        total = sum(map(work_of, (job for group in groups for job in group)))

        def shards() -> Iterator[JobShard]:
            for group in groups:
                tasks.extend(job.task for job in group)
                for job in group:  # a worker has no ledger
                    self.context.reads_reserve(job)
                before = [one for one in done if one.task_id in {job.task.id for job in group}]
                seconds = self.deadline.left_s()
                if any(job.method.tunes_base_model for job in group):
                    seconds *= min(1.0, workers.n * sum(map(work_of, group)) / max(1, total))
                mine = [_moved(job, lambda path: path.resolve().relative_to(home.resolve())) for job in group]
                yield JobShard(mine, seconds, before, pack(home, before))

        found = map_shards(
            workers,
            make,
            shards(),
            name="training",
            total=len(groups),
            progress=self.context.progress,
            per_worker=1,
        )
        for result in found:
            for path, files in result.files.items():
                unpack(home / path, files)
            mine = [_told_here(one, tasks) for one in result.trained.specialists]
            yield result.trained._replace(specialists=mine)


def _told_here(specialist: Specialist, tasks: Sequence[Task]) -> Specialist:
    """The specialist with the task as it is here.

    A default value that came from elsewhere would be written where one from here is left out, and digests would differ.
    """
    task = next((task for task in tasks if task == specialist.task), specialist.task)
    return msgspec.structs.replace(specialist, task=task, contract=task.contract)


def _groups(jobs: Iterable[TrainingJob]) -> list[list[TrainingJob]]:
    """The jobs by task, those of tasks that share an adapter together."""
    groups: list[list[TrainingJob]] = []
    for job in jobs:
        near = [
            group
            for group in groups
            if any(
                one.task.id == job.task.id or (job.together and one.together == job.together) for one in group
            )
        ]
        joined = [*(one for group in near for one in group), job]
        groups = [group for group in groups if not any(group is other for other in near)] + [joined]
    return groups


def _moved(job: TrainingJob, place: Callable[[Path], Path]) -> TrainingJob:
    """The job with its folder elsewhere, and those of its company."""
    company = tuple(_moved(one, place) for one in job.company)
    return replace(job, folder=place(job.folder), company=company)
