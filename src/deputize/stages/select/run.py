"""SLM selection (S4): which small model, and which training methods, are worth their time for each task.

References:
    Belcak et al., "Small Language Models are the Future of Agentic AI", arXiv 2506.02153, section 6, S4.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Protocol

import msgspec

from deputize.core.artifacts import Candidate, Curated, Discovered, MethodPlan, Selected, TaskProbe
from deputize.core.certification import Feasibility
from deputize.core.config import Convert
from deputize.core.contracts import DEFER, answer_of, text_of
from deputize.core.errors import BadInput
from deputize.core.progress import Progress, note
from deputize.core.progress import Progress
from deputize.core.prompt import prune
from deputize.core.records import Answer, Example, Task
from deputize.specialists import catalogue, hardware
from deputize.stages.select import candidates, probe
from deputize.stages.select.reply_comparability import not_comparable
from deputize.stages.select.task_feasibility import EarlierTests, days_of, feasibility_of, not_certifiable

MIN_TRAIN = 24
"""Answers in train below which nothing is tuned."""
MAX_REPLY_CHARS = 600
"""Median length above which a free text is not trained on: agreement with another wording says nothing."""
MIN_VALIDATION = 20
"""Validation calls below which the linear method is cross-validated over training as well."""
PROBE_S, PROBE_SHARE = 90.0, 0.08
"""Most seconds, and part of the time budget, for untuned models; what one task leaves falls to the next."""
ALONE_SHARE = 0.03
"""The part where one model is usable, so that its score is for the report and chooses nothing."""
BASE_PROMPT = "base prompt"
"""The untuned model on the agent's own prompt."""


class PlannedMethod(Protocol):
    """A training method, as far as planning goes."""

    @property
    def name(self) -> str: ...

    @property
    def tunes_base_model(self) -> bool: ...

    def plan(self, task: Task, probe: TaskProbe) -> MethodPlan:
        """Decides whether it is worth training for a task."""
        ...


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
) -> Selected:
    """Says which tasks can be certified, filters models by licence and memory, probes each task, plans its methods.

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

    Raises:
        BadInput: a model is unknown, or none of those asked for may and can run here.
        MissingExtra: the chosen model is not fetched.
    """
    memory = _usable_gb() if memory_gb is None else memory_gb
    asked, usable = candidates.usable(config, memory, models_dir, own_rows)
    left_s, days = _probe_s(len(usable), config.minutes), days_of(curated.examples)
    tuning = {method.name for method in methods if method.tunes_base_model}
    done = Selected(candidates={}, plan={}, base_model="")
    scores: dict[str, list[tuple[float, int]]] = {c.model: [] for c in usable}
    for at, task in enumerate(discovered.tasks):
        progress(f"looking at {task.name}", at, len(discovered.tasks))
        mine = [e for e in curated.examples if discovered.assignment.get(e.call_id) == task.id]
        train = [e for e in mine if e.split == "train" and e.trainable]
        validation = [e for e in mine if e.split == "validation"]
        answers = [answer_of(e.response, task.contract) for e in train]
        found = done.feasibility[task.id] = feasibility_of(task, mine, config, tests, days)
        note(progress, f"{task.name}: {found.sentence}")
        why = _why_not(task, len(mine), train, answers, config, found)
        tried = methods if found.possible or config.explore else ()
        rows, planned = _baselines(task, train, answers, validation, config, tried)
        done.plan[task.id] = [] if why else planned
        done.refused.update({task.id: why} if why else {})
        done.too_few_groups.extend([task.id] * (why == not_certifiable(found)))
        probed = usable if not why and tuning.intersection(planned) else []
        began, share_s = clock(), left_s / (len(discovered.tasks) - at)
        for row in _look_at(asked, probed, task, train, validation, share_s, models_dir, clock):
            rows.append(row)
            if row.method == BASE_PROMPT:
                scores[row.model] += _scored(row, task.n_calls)
        left_s -= clock() - began
        n_tokens = candidates.prompt_tokens(task, [*train, *validation])
        done.candidates[task.id] = rows + candidates.others(
            task, config, memory, models_dir, n_tokens, own_rows
        )
    progress("looking at tasks", len(discovered.tasks), len(discovered.tasks))
    best = max(
        usable,
        key=lambda c: (_mean(scores[c.model]), -catalogue.find(c.model, models_dir, own_rows).params_m),
    )
    return msgspec.structs.replace(done, base_model=best.model)


def _usable_gb() -> float:
    """GB of main memory, or of the largest accelerator where that is more."""
    return max([hardware.memory_gb(), *(card.memory_gb for card in hardware.accelerators())])


def _probe_s(n_usable: int, minutes: float) -> float:
    """Seconds for untuned models, all tasks together."""
    return min(PROBE_S, (PROBE_SHARE if n_usable > 1 else ALONE_SHARE) * minutes * 60)


def _look_at(
    asked: Sequence[Candidate],
    usable: Sequence[Candidate],
    task: Task,
    train: list[Example],
    validation: list[Example],
    budget_s: float,
    models_dir: Path,
    clock: Callable[[], float],
) -> Iterator[Candidate]:
    """Rows of the models asked for: those that can be used are probed as they are, in equal parts of the time."""
    for candidate in asked:
        if candidate in usable:
            part_s = budget_s / len(usable)
            yield from _untuned(candidate, task, train, validation, part_s, models_dir, clock)
        else:
            yield candidate


def _why_not(
    task: Task,
    n_calls: int,
    train: Sequence[Example],
    answers: Sequence[Answer | None],
    config: Convert,
    feasible: Feasibility,
) -> str:
    """The reason why no model is trained for a task, '' where there is none."""
    given = [answer for answer in answers if answer is not None]
    why = refusal(task, n_calls, given, config.min_calls) or not_comparable(task, [e.response for e in train])
    return why or ("" if feasible.possible or config.explore else not_certifiable(feasible))


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
                f"free text, {middle:.0f} characters in the middle of {len(replies)} replies ({distinct:.0%} distinct): "
                f"another wording is not another answer, so agreement cannot certify it. Where closeness can, see "
                f"`deputize tasks measure {task.id} words`"
            )
    return ""


def _baselines(
    task: Task,
    train: list[Example],
    answers: list[Answer],
    validation: list[Example],
    config: Convert,
    methods: Sequence[PlannedMethod],
) -> tuple[list[Candidate], list[str]]:
    """Majority and linear probes, and the methods that make sense, cheapest first; without methods the majority alone."""
    contract, least = task.contract, config.min_origins
    pairs = [
        probe.Pair(prune(e.request, task.recipe), a, e.group, e.subject)
        for e, a in zip(train, answers, strict=True)
        if a is not None
    ]
    held = [
        probe.Pair(prune(e.request, task.recipe), a, e.group, e.subject)
        for e in validation
        if (a := answer_of(e.response, contract)) is not None
    ]
    rows: list[Candidate] = []
    most_common = probe.majority([p.answer for p in pairs], [p.answer for p in held], contract)
    if most_common is not None:
        rows.append(_row("majority answer", "majority", most_common))
    if not methods:
        return rows, []
    schema = probe.schema_of(contract, pairs, least)
    found = probe.linear(pairs, held or pairs, schema, contract, min_origins=least) if pairs else None
    if found is not None and held:
        rows.append(_row(probe.LINEAR_MODEL, probe.LINEAR, found[0]))
    elif (
        found is None
        and (part := probe.closed_field_probe(pairs, held, contract, min_origins=least)) is not None
    ):
        # it cannot write the rest of the answer, so it is not trained; it says what the decision alone is worth
        rows.append(_row(probe.LINEAR_MODEL, f"{probe.LINEAR}, decision alone", part))
    # where the linear method could answer every call at the loss asked for, a language model has nothing to add; an
    # accuracy on two dozen calls is rough, but so is the margin by which a more expensive method has to be better
    alone = 0.0
    is_asked = any(method.name == probe.LINEAR for method in methods)
    if found is not None and is_asked and not config.explore:
        few = len(held) < MIN_VALIDATION
        alone = (
            probe.linear_over(pairs, held, schema, contract, found[1], min_origins=least)
            if few
            else found[0].accuracy
        )
    measured = TaskProbe(epsilon=config.epsilon, linear_fits=found is not None, linear_accuracy=alone)
    planned = []
    for method in methods:
        decided = method.plan(task, measured)
        if decided.train:
            planned.append(method.name)
        elif decided.reason:
            rows.append(Candidate(model=method.name, note=decided.reason))
    return rows, planned


def _row(model: str, method: str, found: probe.ProbeResult) -> Candidate:
    return Candidate(model=model, method=method, probe_accuracy=round(found.accuracy, 4), n_probe=found.n)


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
