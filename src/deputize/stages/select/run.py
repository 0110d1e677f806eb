"""SLM selection (S4): which small model, and which training methods, are worth their time for each task.

References:
    Belcak et al., "Small Language Models are the Future of Agentic AI", arXiv 2506.02153, section 6, S4.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Protocol

import msgspec

from deputize.core.artifacts import Candidate, Curated, Discovered, Selected
from deputize.core.certification import Feasibility
from deputize.core.config import Convert
from deputize.core.contracts import DEFER, text_of
from deputize.core.deadline import Deadline
from deputize.core.percentages import percent, whole_percent
from deputize.core.progress import Progress, note
from deputize.core.records import Answer, Example, Task
from deputize.runner.base import Runner
from deputize.specialists import catalogue, hardware
from deputize.stages.select import candidates, probe
from deputize.stages.select.baselines import (
    Baselines,
    Planned,
    PlannedMethod,
    ProbedCalls,
    all_baselines,
    probed_calls,
)
from deputize.stages.select.race import successive_halving
from deputize.stages.select.reply_comparability import not_comparable
from deputize.stages.select.task_feasibility import (
    EarlierTests,
    TaskFeasibility,
    not_certifiable,
    size_of,
    task_feasibility,
)

MIN_TRAIN = 24
"""Answers in train below which nothing is tuned."""
MAX_REPLY_CHARS = 600
"""Median length above which a free text is not trained on: agreement with another wording says nothing."""
PROBE_SHARE = 0.1
"""Part of the time budget for all probes of selection together; what one task leaves falls to the next."""
PROBE_S, UNTUNED_SHARE = 90.0, 0.06
"""Most seconds, and part of the time budget, for untuned models; within PROBE_SHARE."""
ALONE_SHARE = 0.03
"""The part where one model is usable, so that its score is for the report and chooses nothing."""
RACE_SHARE = 0.1
"""Part of the time budget for a race of several models, where one is held."""
BASE_PROMPT = "base prompt"
"""The untuned model on the agent's own prompt."""


class Tuner(Protocol):
    """Tunes a model for a task for a short while."""

    def __call__(self, model: str, task: Task, n_examples: int, seconds: float) -> float | None:
        """Accuracy on validation after tuning on so many examples; None where there was no time."""
        ...


@dataclass
class _Models:
    """The models asked for, and what was found out about them so far."""

    asked: list[Candidate]
    usable: list[Candidate]
    memory_gb: float
    models_dir: Path
    own_rows: Sequence[Path]
    left_s: float = 0.0
    """Seconds for untuned models, all further tasks together."""
    scores: dict[str, list[tuple[float, int]]] = field(default_factory=dict)
    """Model -> (accuracy on the agent's own prompt, calls of the task)."""


def run(
    curated: Curated,
    discovered: Discovered,
    config: Convert,
    *,
    methods: Sequence[PlannedMethod],
    models_dir: Path,
    progress: Progress,
    clock: Callable[[], float] = time.monotonic,
    memory_gb: float | None = None,
    tests: EarlierTests = EarlierTests(),  # noqa: B008 - immutable
    own_rows: Sequence[Path] = (),
    tuner: Tuner | None = None,
    runner: Runner | None = None,
) -> Selected:
    """Says which tasks can be certified, filters models by licence and memory, probes each task, plans its methods.

    All probes together have PROBE_SHARE of the time: each task gets its part of what is left, and nothing is begun
    that by what was measured so far would not fit. A race of several models has RACE_SHARE besides.

    Args:
        curated: examples; the texts of train and validation only are read, of the others their groups are counted.
        discovered: the tasks.
        config: models to consider, least number of calls, minutes.
        methods: those that may be planned, from cheap to expensive.
        models_dir: where fetched models lie.
        progress: called at each task.
        clock: monotonic seconds.
        memory_gb: of the machine; measured where None.
        tests: those of earlier runs on the same groups, which have spent a part of delta.
        own_rows: files with the user's own rows of the catalogue.
        tuner: for the race between several models; None: the untuned models decide.
        runner: has the workers that fit the linear probes of a large log; None: this process does it.

    Raises:
        BadInput: a model is unknown, or none of those asked for may and can run here.
        MissingExtra: the chosen model is not fetched.
    """
    budget = Deadline.after(PROBE_SHARE * config.minutes * 60, clock)
    by_task = _by_task(curated, discovered)
    kinds = [task.contract.kind for task in discovered.tasks for _ in by_task.get(task.id, ())]
    config, models = _models(config, kinds, memory_gb, models_dir, own_rows)
    tried, feasible = _tried(curated, discovered, by_task, methods, config, tests)
    done = Selected(candidates={}, plan={}, base_model="")
    with closing(all_baselines(tried, config, budget, runner, len(curated.examples))) as probes:
        for at, (task, calls, _) in enumerate(tried):
            n_left = len(tried) - at
            progress(f"looking at {task.name}", at, len(tried))
            until, measured = budget.part(1 / n_left), next(probes)
            found = done.feasibility[task.id] = feasible[at].of_plan(measured.planned)
            note(progress, f"{task.name}: {found.sentence}")
            why = _why_not(task, calls, config, found)
            _note_plan(done, task, measured, why)
            if _is_too_small(task, len(calls.mine), config, found, why):
                done.too_few_groups.append(task.id)
            is_tuned = any(m.tunes_base_model and m.name in done.plan[task.id] for m in methods)
            more = _probe_models(models, task, calls, config, is_tuned, n_left, until)
            done.candidates[task.id] = measured.rows + more + _left_out(methods, tried[at], found)
    progress("looking at tasks", len(discovered.tasks), len(discovered.tasks))
    return _with_base_model(done, discovered, methods, models, config, by_task, tuner, clock)


def _nothing_planned(
    plan: Mapping[str, Sequence[str]],
    not_tuned: Mapping[str, str],
    methods: Sequence[PlannedMethod],
) -> dict[str, str]:
    """By task for which no method is planned: that none of those allowed can give its answers, and why the base model
    is not tuned where that is known."""
    named = ", ".join(method.name for method in methods)
    why = f"none of the methods that may be used ({named}) can give this task's answers"
    empty = [task for task, planned in plan.items() if not planned]
    return {task: f"{why}; {not_tuned[task]}" if task in not_tuned else why for task in empty}


def _models(
    config: Convert, kinds: Sequence[str], memory_gb: float | None, models_dir: Path, own_rows: Sequence[Path]
) -> tuple[Convert, _Models]:
    """The settings with the models that may be tuned, and these; `kinds` of contracts, one for each call."""
    memory = _usable_gb() if memory_gb is None else memory_gb
    config = candidates.with_fetched(config, kinds, memory, models_dir, own_rows)
    models = _Models(*candidates.usable(config, memory, models_dir, own_rows), memory, models_dir, own_rows)
    models.left_s = _probe_s(len(models.usable), config.minutes)
    return config, models


def _tried(
    curated: Curated,
    discovered: Discovered,
    by_task: dict[str, list[Example]],
    methods: Sequence[PlannedMethod],
    config: Convert,
    tests: EarlierTests,
) -> tuple[list[Planned], list[TaskFeasibility]]:
    """Each task with the methods that could be certified, and the verdicts on its groups."""
    log, tried, feasible = size_of(curated.examples), list[Planned](), list[TaskFeasibility]()
    for task in discovered.tasks:
        calls = probed_calls(task, by_task.get(task.id, []))
        feasible.append(task_feasibility(task, calls.mine, config, tests, log))
        able = [m for m in methods if feasible[-1].may_plan(m.name, explore=config.explore)]
        tried.append(Planned(task, calls, able))
    return tried, feasible


def _note_plan(done: Selected, task: Task, measured: Baselines, why: str) -> None:
    done.plan[task.id] = [] if why else measured.planned
    if measured.settings is not None:
        done.linear_settings[task.id] = measured.settings
    if why:
        done.refused[task.id] = why


def _left_out(methods: Sequence[PlannedMethod], tried: Planned, found: Feasibility) -> list[Candidate]:
    """Methods that would read the reserve, where there is no certificate without it."""
    if not tried.methods or not found.possible:
        return []
    why = "not trained: it reads the reserve, without which this log has too few calibration units"
    return [Candidate(model=m.name, note=why) for m in methods if m not in tried.methods]


def _by_task(curated: Curated, discovered: Discovered) -> dict[str, list[Example]]:
    found: dict[str, list[Example]] = {}
    for example in curated.examples:
        task = discovered.assignment.get(example.call_id)
        if task is not None:
            found.setdefault(task, []).append(example)
    return found


def _with_base_model(
    done: Selected,
    discovered: Discovered,
    methods: Sequence[PlannedMethod],
    models: _Models,
    config: Convert,
    by_task: dict[str, list[Example]],
    tuner: Tuner | None,
    clock: Callable[[], float],
) -> Selected:
    """The outcome with the model that is tuned, and for each other one that could have been why it lost."""
    order = _by_probe(models)
    tuned = [
        t for t in discovered.tasks if any(m.tunes_base_model and m.name in done.plan[t.id] for m in methods)
    ]
    tuned.sort(key=lambda task: -len(by_task.get(task.id, ())))
    best, why = order[0], {name: _lost_probe(name, order[0], models.scores) for name in order[1:]}
    if tuner is not None and tuned and len(order) > 1:
        calls = probed_calls(tuned[0], by_task[tuned[0].id])
        race = successive_halving(
            order,
            lambda name, n, seconds: tuner(name, tuned[0], n, seconds),
            Deadline.after(RACE_SHARE * config.minutes * 60, clock),
            n_train=len(calls.train),
        )
        best = race.winner
        why = {name: f"{said} (task {tuned[0].name})" for name, said in race.why_lost.items()}
    found = {task: [_told(row, why) for row in rows] for task, rows in done.candidates.items()}
    chosen = catalogue.find(best, models.models_dir, models.own_rows)
    plan, told, not_tuned = dict(done.plan), found, dict[str, str]()
    for task in tuned:
        n_tokens = candidates.prompt_tokens(task, probed_calls(task, by_task.get(task.id, [])).train)
        if said := candidates.unfit(chosen, task, n_tokens, config):
            dropped = [m.name for m in methods if m.tunes_base_model]
            plan[task.id] = [name for name in plan[task.id] if name not in dropped]
            not_tuned[task.id] = f"not tuned for this task: {said}"
            told[task.id] = [*told[task.id], Candidate(model=best, note=not_tuned[task.id])]
    refused = _nothing_planned(plan, not_tuned, methods) | done.refused
    return msgspec.structs.replace(done, base_model=best, candidates=told, plan=plan, refused=refused)


def _by_probe(models: _Models) -> list[str]:
    """The usable models, the best on the tasks as they are first; among equals the smallest."""
    size = {
        c.model: catalogue.find(c.model, models.models_dir, models.own_rows).params_m for c in models.usable
    }
    return sorted(size, key=lambda name: (-_mean(models.scores.get(name, [])), size[name]))


def _lost_probe(name: str, best: str, scores: dict[str, list[tuple[float, int]]]) -> str:
    if not scores.get(name) and not scores.get(best):
        return f"no task needed a language model, so none was measured; {best} is the smallest"
    return f"lost to {best}: {percent(_mean(scores.get(name, [])))} of the validation calls right as it is, against {percent(_mean(scores.get(best, [])))}"


def _told(row: Candidate, why: dict[str, str]) -> Candidate:
    if row.model in why and row.method in ("", BASE_PROMPT):
        return msgspec.structs.replace(row, note="; ".join(filter(None, (row.note, why[row.model]))))
    return row


def _usable_gb() -> float:
    """GB of main memory, or of the largest accelerator where that is more."""
    return max([hardware.memory_gb(), *(card.memory_gb for card in hardware.accelerators())])


def _probe_s(n_usable: int, minutes: float) -> float:
    """Seconds for untuned models, all tasks together."""
    return min(PROBE_S, (UNTUNED_SHARE if n_usable > 1 else ALONE_SHARE) * minutes * 60)


def _probe_models(
    models: _Models,
    task: Task,
    calls: ProbedCalls,
    config: Convert,
    is_tuned: bool,
    n_left: int,
    until: Deadline,
) -> list[Candidate]:
    """Rows of the models asked for, of which the usable ones are probed as they are where one may be tuned, and of
    others."""
    began, rows = until.clock(), list[Candidate]()
    n_tokens = candidates.prompt_tokens(task, [*calls.train, *calls.validation])
    share_s = min(models.left_s / n_left, until.left_s())
    for candidate in models.asked:
        row = catalogue.find(candidate.model, models.models_dir, models.own_rows)
        if candidate not in models.usable:
            rows.append(candidate)
        elif not is_tuned:
            continue
        elif said := candidates.unfit(row, task, n_tokens, config):
            rows.append(msgspec.structs.replace(candidate, note=said))
        else:
            part_s = share_s / len(models.usable)
            held = calls.validation or calls.train  # nothing is tuned here
            found = _untuned(candidate, task, calls.train, held, part_s, models.models_dir, until.clock)
            rows += found
            scored = [r for r in found if r.method == BASE_PROMPT]
            models.scores.setdefault(candidate.model, []).extend(
                s for r in scored for s in _scored(r, task.n_calls)
            )
    models.left_s -= until.clock() - began
    more = (models.memory_gb, models.models_dir, n_tokens, models.own_rows)
    return rows + candidates.others(task, config, *more)


def _why_not(task: Task, calls: ProbedCalls, config: Convert, feasible: Feasibility) -> str:
    """The reason why no model is trained for a task, '' where there is none."""
    given = [answer for answer in calls.answers if answer is not None]
    replies = [e.response for e in calls.train]
    why = refusal(task, len(calls.mine), given, config.min_calls) or not_comparable(task, replies)
    return why or ("" if feasible.possible or config.explore else not_certifiable(feasible))


def _is_too_small(task: Task, n_calls: int, config: Convert, found: Feasibility, why: str) -> bool:
    """True where a task is not trained for want of groups, or of groups and calls."""
    has_few_calls = n_calls < config.min_calls and not found.possible and not task.hidden
    return has_few_calls or why == not_certifiable(found)


def refusal(task: Task, n_calls: int, answers: list[Answer], min_calls: int) -> str:
    """Why a task is not to be tuned, with the numbers; '' where it is."""
    if task.hidden:
        return "hidden by a person (`deputize tasks hide`): reported, never trained or routed"
    if n_calls < min_calls:
        return f"{n_calls} calls; at least {min_calls} are needed to train and to certify"
    if len(answers) < MIN_TRAIN:
        return f"{len(answers)} answers to learn from that keep the contract; at least {MIN_TRAIN} are needed"
    replies = [a for a in answers if a != DEFER]
    if not replies:
        return "the LLM never answered with what a specialist could serve here"
    if task.contract.kind == "text" and task.contract.measure is None:
        middle = median(len(a) for a in replies if isinstance(a, str))
        distinct = len(set(replies)) / len(replies)
        if middle > MAX_REPLY_CHARS:
            return (
                f"free text, {middle:.0f} characters in the middle of {len(replies)} replies ({whole_percent(distinct)} distinct): "
                f"another wording is not another answer, so agreement cannot certify it. Where closeness can, see "
                f"`deputize tasks measure {task.id} words`"
            )
    return ""


def _untuned(
    candidate: Candidate,
    task: Task,
    train: list[Example],
    validation: list[Example],
    budget_s: float,
    models_dir: Path,
    clock: Callable[[], float],
) -> list[Candidate]:
    """The model as it is, on the agent's own prompt and after three examples."""
    from deputize.specialists.model_cache import MODELS

    base = MODELS.get(catalogue.model_path(candidate.model, models_dir))
    rows = []
    short = sorted((e for e in train if text_of(e.response) or e.response.get("tool_calls")), key=_length)
    shots = short[len(short) // 4 :][:3]
    validation = [e for e in validation if e not in shots]
    for method, shown in ((BASE_PROMPT, []), ("few-shot", shots)):
        found = probe.as_it_is(base, task, validation, shown, budget_s=budget_s / 2, clock=clock)
        note = "" if found else "no time to probe it"
        rows.append(
            Candidate(
                model=candidate.model,
                method=method,
                fits=candidate.fits,
                licence=candidate.licence,
                note=note,
                probe_accuracy=round(found.accuracy, 4) if found else None,
                n_probe=found.n if found else 0,
            )
        )
    return rows


def _length(example: Example) -> int:
    return sum(len(text_of(m)) for m in example.request.messages) + len(text_of(example.response))


def _scored(row: Candidate, n_calls: int) -> list[tuple[float, int]]:
    return [] if row.probe_accuracy is None else [(row.probe_accuracy, n_calls)]


def _mean(scores: list[tuple[float, int]]) -> float:
    total = sum(n for _, n in scores)
    return sum(s * n for s, n in scores) / total if total else 0.0
