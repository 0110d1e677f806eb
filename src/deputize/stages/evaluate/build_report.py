"""Builder of report.json: a run's records in, the document out (core.report_schema, docs/reference/report.md)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import msgspec

from deputize.core.artifacts import Curated, Discovered, Finetuned, Selected
from deputize.core.config import AUDIT_SHARE, Convert
from deputize.core.earlier_route import EarlierRoute
from deputize.core.ood_detector_power import OutOfDistributionDetectorPower
from deputize.core.percentages import percent, whole_percent
from deputize.core.records import DEFAULT_TENANT, EVERY_TENANT, Example
from deputize.core.report_schema import (
    REPORT_VERSION,
    Report,
    ReportCuration,
    ReportEnvironment,
    ReportSource,
    ReportSplit,
    document,
)
from deputize.core.subjects import Subjects
from deputize.core.task_results import TaskResult
from deputize.scoring.costs import Prices, Spend, load_prices
from deputize.stages.evaluate.log_times import by_time, calls_per_month, time_span
from deputize.stages.evaluate.task_figures import TaskFigures
from deputize.stages.evaluate.text_counts import TaskTexts, read_texts
from deputize.stages.evaluate.totals import totals


def build(
    *,
    run_id: str,
    tenant: str = DEFAULT_TENANT,
    config: Convert,
    curated: Curated,
    discovered: Discovered,
    selected: Selected,
    finetuned: Finetuned,
    results: Sequence[TaskResult],
    timings_s: Mapping[str, float],
    environment: Mapping[str, Any],
    n_skipped: int = 0,
    skipped: Mapping[str, int] | None = None,
    prices: Prices | None = None,
    earlier: Sequence[EarlierRoute] = (),
    n_missing_from_store: int = 0,
    audit_share: float = AUDIT_SHARE,
    home: str = "",
    now_s: float = 0.0,
) -> dict[str, Any]:
    """The report of a run as plain JSON values (core.report_schema.Report); numbers that are not known are null."""
    prices = prices or load_prices()
    curated, calls = read_texts(curated, discovered.tasks, discovered.assignment, prices)
    n_code_calls = max(curated.n_code_calls, sum(e.audience == "code" for e in curated.examples))
    whole = reduce(Spend.__add__, (texts.spend for texts in calls.values()), Spend())
    tasks = _figures(discovered, calls, results, finetuned, prices, _n_cores(environment), audit_share)
    report = Report(
        version=REPORT_VERSION,
        run_id=run_id,
        created_s=now_s,
        home=home,
        tenant=tenant,
        settings={name: json.dumps(value) for name, value in config.model_dump(mode="json").items()},
        seed=config.seed,
        epsilon=config.epsilon,
        delta=config.delta,
        scope=config.scope,
        source=_source(curated, n_skipped, skipped or {}, config),
        curate=_curation(curated, n_missing_from_store),
        tasks=[t.entry(n_code_calls, whole.usd, selected, finetuned, config) for t in tasks],
        unassigned=discovered.unassigned,
        earlier_routes=list(earlier),
        total=totals(
            tasks,
            n_code_calls,
            whole,
            finetuned,
            prices,
            n_cores=_n_cores(environment),
            seed=config.seed,
            audit_share=audit_share,
        ),
        timings_s=dict(timings_s),
        environment=msgspec.convert(dict(environment), ReportEnvironment),
        notes=_notes(tasks, curated, whole, config, tenant) + _gone_note(n_missing_from_store),
        assumptions=prices.assumptions(),
        nothing_trained_reason=_nothing_trained(discovered, selected) or None,
    )
    return dict(document(report))


def _n_cores(environment: Mapping[str, Any]) -> int:
    return int(environment.get("n_cores") or 1)


def _figures(
    discovered: Discovered,
    calls: Mapping[str, TaskTexts],
    results: Sequence[TaskResult],
    finetuned: Finetuned,
    prices: Prices,
    n_cores: int,
    audit_share: float,
) -> list[TaskFigures]:
    """The tasks with what the report derives from them, the largest first."""
    result_of = {r.task_id: r for r in results}
    tasks = [
        TaskFigures(
            task,
            calls[task.id],
            result_of.get(task.id) or TaskResult(task_id=task.id, refusal_reason="not evaluated"),
            [s for s in finetuned.specialists if s.task_id == task.id],
            prices,
            n_cores,
            audit_share,
        )
        for task in discovered.tasks
    ]
    tasks.sort(key=lambda t: (-t.n_code_calls, t.task.id))
    return tasks


def _shared_note(tenant: str, curated: Curated) -> list[str]:
    """The sentence that says whose calls were trained on together, where tenants share specialists."""
    if tenant != EVERY_TENANT:
        return []
    names = ", ".join(sorted({e.tenant for e in curated.examples}))
    return [
        f"share_across_tenants is set: the calls of all tenants ({names}) were trained on together, and the specialists "
        "answer for every tenant."
    ]


def _source(curated: Curated, n_skipped: int, skipped: Mapping[str, int], config: Convert) -> ReportSource:
    span = time_span(curated.examples)
    return ReportSource(
        n_calls=curated.n_calls,
        n_episodes=curated.n_episodes,
        n_code_calls=curated.n_code_calls,
        tenants=dict(sorted(Counter(e.tenant for e in curated.examples).items())),
        n_skipped=n_skipped,
        skipped=dict(skipped),
        models=_models(curated.examples, config.min_origins),
        sites=curated.sites,
        agents=_agents(curated),
        first_s=span[0] if span else None,
        last_s=span[1] if span else None,
        calls_per_month=calls_per_month(curated.examples, curated.n_code_calls),
        by_time=by_time(curated.examples),
    )


def _agents(curated: Curated) -> dict[str, int]:
    calls: Counter[str] = Counter()
    for site in curated.sites:
        calls[site.agent or "not named"] += site.n_calls
    return dict(calls.most_common())


def _curation(curated: Curated, n_missing_from_store: int) -> ReportCuration:
    return ReportCuration(
        n_kept=sum(e.trainable for e in curated.examples),
        dropped=curated.dropped,
        entities=curated.entities,
        detectors=curated.detectors,
        tagger_recall=curated.tagger_recall,
        splits=_splits(curated.examples),
        n_missing_from_store=n_missing_from_store,
        warnings=curated.warnings,
    )


def _models(examples: Sequence[Example], least: int) -> dict[str, int]:
    """Calls by the LLM that answered; a name that fewer data subjects have is not shown (a model may be one
    person's)."""
    named = Subjects([e.subject for e in examples], least).shared([e.model] for e in examples)
    shown = (e.model if e.model in named else "others" if e.model else "" for e in examples)
    return dict(Counter(name or "unknown" for name in shown).most_common())


def _splits(examples: Sequence[Example]) -> dict[str, ReportSplit]:
    out: dict[str, ReportSplit] = {}
    for name in ("train", "validation", "reserve", "calibration", "test"):
        split = [e for e in examples if e.split == name]
        out[name] = ReportSplit(n_calls=len(split), n_groups=len({e.group for e in split}))
    return out


def _ood_detector_note(task: str, detector: OutOfDistributionDetectorPower | None) -> str:
    """The sentence about what a route notices of requests unlike those it was trained on."""
    if detector is None:
        return (
            f"{task}: there are too few groups to detect requests unlike those trained on; only a changed template or "
            "schema is noticed."
        )
    changed = ", ".join(
        f"{kind} {whole_percent(share)}" for kind, share in detector.flagged_when_changed.items()
    )
    return (
        f"{task}: of requests unlike those trained on, the detector leaves these shares to the LLM (simulated on "
        f"calls of the log): {changed}; of calls as they are {percent(detector.flagged_as_they_are)}."
    )


def _nothing_trained(discovered: Discovered, selected: Selected) -> str:
    """Why nothing was trained, where that is for want of episodes; "" where something was, or nothing ever could be."""
    names = {task.id: task.name for task in discovered.tasks}
    if any(selected.plan.values()) or not selected.too_few_groups:
        return ""
    nearest = min(selected.too_few_groups, key=lambda id: (selected.feasibility[id].n_more_groups, id))
    found = selected.feasibility[nearest]
    explored = (
        " `--explore` trains all the same." if found.sentence in selected.refused.get(nearest, "") else ""
    )
    return (
        f"No task of this log can be certified at epsilon {found.epsilon:g} and delta {found.delta:g} yet, so nothing was "
        f"trained. Nearest is {names.get(nearest, nearest)}: {found.sentence}.{explored}"
    )


def _gone_note(n_missing_from_store: int) -> list[str]:
    if not n_missing_from_store:
        return []
    return [
        f"{n_missing_from_store:,} call(s) of validation, calibration and test had left the store (erased, expired) when specialists were "
        "tested, and were left out."
    ]


def _scope_note(tasks: Sequence[TaskFigures], config: Convert) -> str:
    """The sentence about what delta is for, over the tasks that were tested."""
    tested = [t.result.family_wise for t in tasks if t.result.family_wise is not None]
    sure = whole_percent(1 - config.delta)
    n_tested = "1 task was tested" if len(tested) == 1 else f"{len(tested)} tasks were tested"
    if config.scope == "all-routes":
        return f"The certificates of this run all hold at once with probability {sure} ({n_tested})."
    return (
        f"Each certificate holds with probability {sure} by itself. {n_tested}, so up to "
        f"{config.delta * len(tested):.2g} false certificates are to be expected however many were earned; "
        f"{sum(one.certified for one in tested)} would hold all at once with that probability (`--scope all-routes`)."
    )


def _notes(
    tasks: Sequence[TaskFigures], curated: Curated, whole: Spend, config: Convert, tenant: str
) -> list[str]:
    """Remarks to read before quoting a figure."""
    notes = [
        *_shared_note(tenant, curated),
        "Agreement is with the LLM's recorded answer: where the LLM was wrong, a specialist that copies it is counted "
        "right, and one that is right is counted wrong.",
        "A certificate holds for calls like those it was calibrated on; requests with a changed prompt template or tool "
        "schema go to the LLM, a slow drift has to be noticed by auditing.",
        _scope_note(tasks, config),
        "Costs are of the recorded calls meant for code; training is paid once and is not in them.",
    ]
    if any(t.routed and t.result.evaluation.mixed for t in tasks):
        notes.append(
            "At a site that also speaks to people the loss is over all calls of the site; the share served is of the "
            "calls meant for code."
        )
    notes += [
        f"{t.task.name}: nothing is claimed of {', '.join(t.task.contract.uncompared)}, which no comparison looks at."
        for t in tasks
        if t.routed and t.task.contract.uncompared
    ]
    notes += [_ood_detector_note(t.task.name, t.result.evaluation.ood_detector) for t in tasks if t.routed]
    expensive = [
        t.task.name
        for t in tasks
        if t.routed and t.specialist_usd + t.deferred_usd + t.cache_usd > t.spend.usd - t.llm_usd_left > 0
    ]
    if expensive:
        notes.append(f"On this machine the specialist costs more than it saves for: {', '.join(expensive)}.")
    if whole.n_estimated:
        notes.append(
            f"{whole.n_estimated} of the calls had no token counts; theirs are estimated from characters."
        )
    if whole.n_assumed:
        notes.append(f"{whole.n_assumed} of the calls name no model with a listed price; another's was used.")
    if curated.n_code_calls == 0:
        notes.append("No call of this log is directed at code, so nothing may be served by a specialist.")
    return [*notes, *curated.warnings]
