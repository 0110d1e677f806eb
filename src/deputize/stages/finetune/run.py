"""Fine-tuning (S5): trains the planned methods of every task within the time there is; a killed run goes on where it
was.

References:
    Belcak et al., "Small Language Models are the Future of Agentic AI", arXiv 2506.02153, section 6, S5.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from deputize.core.artifacts import Candidate, Curated, Discovered, Finetuned, Selected, Specialist
from deputize.core.config import Convert, TeacherSettings
from deputize.core.contracts import needs_judge
from deputize.core.deadline import Deadline
from deputize.core.errors import BadInput
from deputize.core.percentages import whole_percent
from deputize.core.progress import Progress
from deputize.core.records import Task
from deputize.core.subjects import Subjects
from deputize.runner.base import Runner
from deputize.specialists import catalogue
from deputize.specialists.cascade import CascadePredictor
from deputize.specialists.fit_value_tools import read_table
from deputize.specialists.learn_schema import learn_schema
from deputize.specialists.torch_runtime import device_for
from deputize.specialists.tuned_model import base_digest
from deputize.specialists.value_forms import with_forms
from deputize.stages.finetune.company import with_company
from deputize.stages.finetune.examples import TrainingSet, training_set_of
from deputize.stages.finetune.fingerprint import fingerprint, finished
from deputize.stages.finetune.methods.base import (
    CountsTokens,
    CrossFits,
    Method,
    NoteReading,
    TrainingContext,
    TrainingJob,
    TrainsTogether,
    not_noted,
)
from deputize.stages.finetune.methods.cascade_method import CascadeMethod, can_cross_fit
from deputize.stages.finetune.methods.hard_examples_method import NOT_WEIGHED, on_hard_examples
from deputize.stages.finetune.methods.helped_method import HelpedMethod
from deputize.stages.finetune.methods.registry import find_methods
from deputize.stages.finetune.on_workers import OnWorkers, TrainedJobs
from deputize.stages.finetune.package import package
from deputize.stages.finetune.schedule import Schedule

LEAST_GAIN = 0.05
"""Share of a task's calls that a more expensive method must be able to add to be trained at all; what could serve less
than that serves nothing."""
KEPT_FOR_EVALUATION = 0.25
"""Of the time left for training and evaluation: what methods that do not tune the base model leave to evaluation."""
NO_TIME = "not trained: the task has a cheaper method, what no cheaper one can do came first, and the time left is for evaluation"


def run(
    curated: Curated,
    discovered: Discovered,
    selected: Selected,
    config: Convert,
    *,
    home: Path,
    out_dir: Path,
    models_dir: Path,
    deadline: Deadline,
    progress: Progress,
    teacher: TeacherSettings | None = None,
    runner: Runner | None = None,
    note_reading: NoteReading = not_noted,
    read_before: Iterable[str] = (),
) -> Finetuned:
    """Trains every method that was planned: by need, and within a task from cheap to expensive.

    Args:
        curated: examples with their split; only train and validation, or the reserve in its place, are read.
        discovered: tasks and which call belongs to which.
        selected: the plan per task.
        config: of the run; seed.
        home: specialists' paths are relative to it.
        out_dir: where specialists' folders go.
        models_dir: where base models lie.
        deadline: the end of this and of evaluating what was trained, which gets its part of the time.
        progress: called at each step.
        teacher: a server that scores what specialists write; None: there is none.
        runner: has the workers that train the specialists of many tasks; None: this process does it.
        note_reading: called before the reserve of a task is read.
        read_before: tasks whose reserve this run has read before it was stopped: it stays validation, whatever is
            trained now.

    Raises:
        MissingExtra: the base model or a package is not here.
    """
    out_dir.mkdir(parents=True, exist_ok=True)
    context = TrainingContext(
        config,
        home,
        models_dir,
        selected.base_model,
        progress,
        deadline.clock,
        teacher=teacher or TeacherSettings(),
        tables=tuple(read_table(home / name) for name in config.lookup_tables),
        read_reserve={*read_before},
        note_reading=note_reading,
    )
    jobs, refused = _jobs_of_tasks(curated, discovered, selected, context, out_dir)
    done, not_needed = _train_all(jobs, deadline, context, refused, runner)
    return Finetuned(
        specialists=_in_order(done, discovered.tasks),
        refused={task: why for task, why in refused.items() if task not in {s.task_id for s in done}},
        not_needed=not_needed,
        cross_fitted=context.cross_fitted,
        unread_reserve=_unread(done, context, discovered.tasks),
    )


def _jobs_of_tasks(
    curated: Curated, discovered: Discovered, selected: Selected, context: TrainingContext, out_dir: Path
) -> tuple[list[TrainingJob], dict[str, str]]:
    """(the jobs of all plans, why a task has none)."""
    jobs, refused, config = list[TrainingJob](), dict[str, str](), context.config
    for task in discovered.tasks:
        if plan := selected.plan.get(task.id, []):
            examples = training_set_of(
                curated, discovered.assignment, task, balance=config.balance, min_origins=config.min_origins
            )
            jobs += jobs_of(examples, plan, context, out_dir, selected.linear_settings.get(task.id))
            if not examples.train:
                refused[task.id] = "no example may be trained on"
    return jobs, refused


def _unread(done: Sequence[Specialist], context: TrainingContext, tasks: Sequence[Task]) -> list[str]:
    """Tasks whose part of the reserve no training has read, so that it may be calibrated on; a judge is tried on it
    first."""
    judged = {task.id for task in tasks if needs_judge(task.contract)}
    task_of = {s.id: s.task_id for s in done}
    found = dict.fromkeys(task_of[id] for id in context.cross_fitted if id in task_of)
    return [id for id in found if id not in context.read_reserve and id not in judged]


def jobs_of(
    examples: TrainingSet,
    plan: list[str],
    context: TrainingContext,
    out_dir: Path,
    linear_settings: tuple[int, float, bool] | None = None,
) -> list[TrainingJob]:
    """One job per planned method of a task; none where there is nothing to train on.

    Args:
        examples: of the task.
        plan: methods.
        context: of the run.
        out_dir: for the specialists.
        linear_settings: of the linear model, where selection has chosen them on the same examples.
    """
    if not examples.train:
        return []
    subjects = Subjects([x.subject for x in examples.train], context.config.min_origins)
    answers = [x.answer for x in examples.train]
    schema = with_forms(learn_schema(examples.task.contract, answers, subjects), examples.forms, answers)
    n_tokens = sum(len(x.text) + 60 for x in examples.train) // 3
    epochs = epochs_for(len(examples.train))
    jobs = []
    for method in _methods(plan, context.config):
        base = method.base_model(context)
        sha256 = base_digest(base, context.models_dir) if base else ""
        mine = examples if isinstance(method, CrossFits) else examples.with_reserve()
        mark = fingerprint(
            mine, schema, method.name, epochs, context.config, sha256, linear_settings, context.tables
        )
        folder = out_dir / f"{_safe(examples.task.id)}-{_safe(method.name)}"
        n = method.n_tokens(mine) if isinstance(method, CountsTokens) else n_tokens
        jobs.append(TrainingJob(mine, schema, method, folder, n, epochs, mark, linear_settings))
    return jobs


def _methods(plan: Sequence[str], config: Convert) -> list[Method]:
    """The methods of a plan, each followed by itself on hard examples where the settings ask for that."""
    found = find_methods(plan)
    able = [m for m in found if not isinstance(m, TrainsTogether) and m.name not in NOT_WEIGHED]
    more = [on_hard_examples(m) for m in able] if config.hard_examples else []
    return sorted([*found, *more], key=lambda m: (m.cost, m.name))


def _train_all(
    jobs: list[TrainingJob],
    deadline: Deadline,
    context: TrainingContext,
    refused: dict[str, str],
    runner: Runner | None,
) -> tuple[list[Specialist], dict[str, list[Candidate]]]:
    """(the specialists, methods that were not needed by task); why a task has no specialist is put into `refused`.

    By need: what serves a task first, then what tunes a base model where nothing cheaper can serve, then the rest.
    Within a task the order is from cheap to expensive, so with time enough the order changes no specialist.
    """
    done: list[Specialist] = []
    not_needed: dict[str, list[Candidate]] = {}
    every = OnWorkers(runner, context, deadline, train_jobs)
    tuning = [job for job in jobs if job.method.tunes_base_model]
    schedule = _schedule(tuning, deadline, context)
    quick = every.train([job for job in jobs if not job.method.tunes_base_model], done, not_needed, refused)
    waiting = _train_unlimited(quick, done, not_needed, deadline, context, only_first=True)
    # what shares an adapter with other tasks waits until it is known which of them need it
    alone = [job for job in tuning if not is_served(job, done) and not isinstance(job.method, TrainsTogether)]
    if waiting and alone:
        limited = every.train(alone, done, not_needed, refused)
        _train_limited(limited, schedule, done, not_needed, context, refused)
        tuning = [job for job in tuning if job not in alone]
    _train_unlimited(waiting, done, not_needed, schedule.after_evaluation(), context)
    needed = [job for job in tuning if _is_needed(job, done, not_needed, context)]
    limited = every.train(with_company(needed), done, not_needed, refused)
    _train_limited(limited, schedule, done, not_needed, context, refused)
    return done, not_needed


def _schedule(tuning: Sequence[TrainingJob], deadline: Deadline, context: TrainingContext) -> Schedule:
    return Schedule(deadline, first_guess(context.base_model, context.models_dir) if tuning else 0.0)


def train_jobs(
    jobs: Sequence[TrainingJob], context: TrainingContext, deadline: Deadline, before: Sequence[Specialist]
) -> TrainedJobs:
    """The specialists of some jobs, all of a task and of its company among them.

    Args:
        jobs: all of methods that tune a base model, or none.
        context: of the run.
        deadline: of all.
        before: specialists of the tasks that are there already.
    """
    done, out = list(before), TrainedJobs([], {}, {}, {}, set())
    _train_unlimited(
        [job for job in jobs if not job.method.tunes_base_model], done, out.not_needed, deadline, context
    )
    tuning = [job for job in jobs if job.method.tunes_base_model]
    schedule = _schedule(tuning, deadline, context)
    _train_limited(tuning, schedule, done, out.not_needed, context, out.refused)
    mine = done[len(before) :]
    return out._replace(
        specialists=mine,
        cross_fitted={s.id: context.cross_fitted[s.id] for s in mine if s.id in context.cross_fitted},
        read_reserve=context.read_reserve,
    )


def _is_needed(
    job: TrainingJob,
    done: Sequence[Specialist],
    not_needed: dict[str, list[Candidate]],
    context: TrainingContext,
) -> bool:
    if why := nothing_to_add(job, done, context.config):
        not_needed.setdefault(job.task.id, []).append(why)
    return why is None


def is_served(job: TrainingJob, done: Sequence[Specialist]) -> bool:
    """True where a specialist of a job's task could serve some of its calls, as far as validation tells."""
    mine = [s for s in done if s.task_id == job.task.id and not _leaks(s)]
    return any(s.validation_coverage is None or s.validation_coverage >= LEAST_GAIN for s in mine)


def _train_unlimited(
    jobs: Sequence[TrainingJob],
    done: list[Specialist],
    not_needed: dict[str, list[Candidate]],
    deadline: Deadline,
    context: TrainingContext,
    *,
    only_first: bool = False,
) -> list[TrainingJob]:
    """Adds the specialists of the jobs that take no share of the time, cheapest first in each task.

    On a machine that is slow or busy none is begun for a task that has one already where evaluation would lack the
    time.

    Returns:
        The jobs that can wait: with `only_first` those of tasks that are served already.
    """
    own, waiting = deadline.part(1 - KEPT_FOR_EVALUATION), list[TrainingJob]()
    for at, job in enumerate(jobs):
        if only_first and is_served(job, done):
            waiting.append(job)
            continue
        if not _is_needed(job, done, not_needed, context):
            continue
        has_one = any(s.task_id == job.task.id for s in done)
        if has_one and own.passed and finished(job) is None:
            left_out = Candidate(model=job.method.name, note=NO_TIME)
            not_needed.setdefault(job.task.id, []).append(left_out)
            continue
        context.progress(f"training {job.name}", at, len(jobs))
        specialist = train(job, context, own.left_s() if has_one else deadline.left_s())
        if specialist is not None:
            more = [] if own.passed else cascades(specialist, job, done, not_needed, context, own)
            done += [specialist, *more]
    return waiting


def _train_limited(
    jobs: Sequence[TrainingJob],
    schedule: Schedule,
    done: list[Specialist],
    not_needed: dict[str, list[Candidate]],
    context: TrainingContext,
    refused: dict[str, str],
) -> None:
    """Adds the specialists of the jobs that share the time; those of tasks that are served already come last."""
    served = {job.task.id for job in jobs if is_served(job, done)}
    for job, budget_s in schedule.shared_among(jobs, served):
        is_done = job.together in context.shared_adapters or finished(job) is not None
        if schedule.is_too_short(job, budget_s) and not is_done:
            why = schedule.refusal(job, budget_s)
            refused.setdefault(job.task.id, why)
            if any(s.task_id == job.task.id for s in done):  # then the refusal is not told
                note = f"not trained: {why.removeprefix(f'{job.method.name}: ')}"
                not_needed.setdefault(job.task.id, []).append(Candidate(model=job.method.name, note=note))
            continue
        try:
            specialist = train(job, context, budget_s)
        except BadInput as error:
            refused[job.task.id] = f"{job.method.name}: {error}"
            continue
        if specialist is not None:
            done += [specialist, *cascades(specialist, job, done, not_needed, context, schedule.deadline)]
            done += helped(specialist, job, done, context, schedule.deadline)
            schedule.done(job, specialist.tokens_per_s)


def nothing_to_add(job: TrainingJob, done: Sequence[Specialist], config: Convert) -> Candidate | None:
    """Why a job is left out: a cheaper specialist of its task could serve nearly all of validation; None where none
    could.

    A more expensive method is chosen only where it serves more by a margin, so its training would be in vain.
    """
    for cheap in () if config.explore else done:
        if cheap.task_id != job.task.id or cheap.cost >= job.method.cost:
            continue
        coverage = cheap.validation_coverage
        if coverage is None or coverage < 1 - LEAST_GAIN or _leaks(cheap):
            continue
        note = f"not trained: {cheap.method} could serve {whole_percent(coverage)} of the calls it was tried on, so it has too little to add"
        return Candidate(model=job.method.name, note=note)
    return None


def cascades(
    newest: Specialist,
    job: TrainingJob,
    done: Sequence[Specialist],
    not_needed: dict[str, list[Candidate]],
    context: TrainingContext,
    deadline: Deadline,
) -> list[Specialist]:
    """The cascades that a specialist makes possible: with the task's fast one, and as a further member of the best
    cascade there is.

    A further member is added only where validation says that it pays. None is made of a specialist that leaks, nor
    without a fast one.

    Args:
        newest: just trained.
        job: of its training.
        done: all that were trained before it.
        not_needed: by task what was left out; why a cascade was not made is added.
        context: of the run.
        deadline: the end of training.
    """
    # the prompts of the fast specialist have no opening line
    if job.company or not context.config.cascades or newest.is_fast or _leaks(newest):
        return []
    # a cache has no scores of the choices that it does not know
    sound = [s for s in done if s.task_id == newest.task_id and s.kind != "cache" and not _leaks(s)]
    fast = [s for s in sound if s.is_fast]
    if not fast:
        return []
    groups = [[fast[0], newest]]
    joined = [s for s in sound if s.kind == CascadePredictor.kind]
    best = max(joined, key=lambda s: s.validation_coverage or 0.0, default=None)
    if best is not None and (best.validation_coverage or 0.0) < 1 - LEAST_GAIN:
        by_method = {s.method: s for s in sound}
        groups.append([*(by_method[method] for method in best.method.split("+")), newest])
    out = []
    for members in groups:
        method = CascadeMethod(members)
        examples = job.examples
        if not can_cross_fit(members, context):
            examples = job.examples.with_reserve()
            if examples.reads_reserve and newest.task_id not in context.read_reserve:
                continue  # nobody has read it, and it is worth more in calibration
        sums = "".join(sum_ for member in members for _, sum_ in sorted(member.checksums.items()))
        mark = fingerprint(examples, job.schema, method.name, 0, context.config, sums)
        folder = job.folder.with_name(f"{_safe(newest.task_id)}-{_safe(method.name)}")
        mine = replace(job, examples=examples, method=method, folder=folder, epochs=0, fingerprint=mark)
        context.progress(f"putting together {mine.name}", 0)
        found = train(mine, context, deadline.left_s())
        if found is not None:
            out.append(found)
        elif method.why_not:
            not_needed.setdefault(newest.task_id, []).append(
                Candidate(model=method.name, note=method.why_not)
            )
    return out


def _leaks(specialist: Specialist) -> bool:
    return specialist.leak is not None and specialist.leak.leaks


def helped(
    member: Specialist,
    job: TrainingJob,
    done: Sequence[Specialist],
    context: TrainingContext,
    deadline: Deadline,
) -> list[Specialist]:
    """The specialist with each help at inference that the settings name; none where it does not write, leaks, or is
    enough as it is.

    Args:
        member: just trained.
        job: of its training.
        done: all that were trained so far.
        deadline: of all training.
    """
    if member.kind != HelpedMethod.helps or (member.leak is not None and member.leak.leaks):
        return []
    out = []
    for name in context.config.inference_help:
        method = HelpedMethod(member, name)
        sums = "".join(sum_ for _, sum_ in sorted(member.checksums.items()))
        mark = fingerprint(
            job.examples, job.schema, method.name, 0, context.config, sums, tables=context.tables
        )
        folder = job.folder.with_name(f"{_safe(member.task_id)}-{_safe(method.name)}")
        mine = replace(job, method=method, folder=folder, epochs=0, fingerprint=mark)
        if nothing_to_add(mine, done, context.config) is None:
            context.progress(f"trying {mine.name}", 0)
            found = train(mine, context, deadline.left_s())
            out += [] if found is None else [found]
    return out


def train(job: TrainingJob, context: TrainingContext, budget_s: float) -> Specialist | None:
    """One specialist, trained and packaged, or the one that is finished already; None where the method does not fit."""
    context.reads_reserve(job)
    found = finished(job)
    # what was answered by cross-fitting is not kept on the disk
    if found is not None and (not job.examples.is_cross_fitted or found.id in context.answers):
        return found
    trained = job.method.train(job, context, budget_s)
    if trained is None:
        return None
    try:
        return package(trained, job, context)
    finally:
        trained.release()


def _in_order(specialists: list[Specialist], tasks: list[Task]) -> list[Specialist]:
    place = {task.id: n for n, task in enumerate(tasks)}
    return sorted(specialists, key=lambda s: (place[s.task_id], s.cost, s.method))


def epochs_for(n_examples: int) -> int:
    """Epochs for a task: more for few examples, three for many; a good validation loss ends them early."""
    return int(np.clip(round(600 / max(1, n_examples)), 3, 8))


def first_guess(base_model: str, models_dir: Path) -> float:
    """Training tokens per second before anything is measured, from the size of the model."""
    params = catalogue.find(base_model, models_dir).params_m * 1e6
    return (3e13 if device_for() == "cuda" else 5e10) / params


def _safe(text: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in text)[:80]
