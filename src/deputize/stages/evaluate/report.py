"""report.json: everything a run found, in one document (docs/reference/report.md has the form).

Pure: records in, a dict of plain values out. Shares are of non-HCI calls unless the name says otherwise.
"""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import msgspec
import numpy as np

from deputize.core.artifacts import Curated, Discovered, Finetuned, Selected, Specialist, TaskResult
from deputize.core.config import Convert
from deputize.core.records import Example, Task
from deputize.core.subjects import Subjects
from deputize.scoring.costs import Prices, Spend, break_even_calls, llm_spend, load_prices
from deputize.scoring.intervals import Grouped, Interval, grouped_interval

REPORT_VERSION = 1


def build(
    *,
    run_id: str,
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
) -> dict[str, Any]:
    """The report of a run as plain JSON values; numbers that are not known are null, never NaN."""
    prices = prices or load_prices()
    n_cores = int(environment.get("n_cores") or 1)
    calls: dict[str, list[Example]] = {task.id: [] for task in discovered.tasks}
    for example in curated.examples:
        calls.setdefault(discovered.assignment.get(example.call_id, ""), []).append(example)
    result_of = {r.task_id: r for r in results}
    specialist_of = {s.id: s for s in finetuned.specialists}
    n_code_calls = max(curated.n_code_calls, sum(e.audience == "code" for e in curated.examples))
    spends = [_spend([e for e in es if e.audience == "code"], prices) for es in calls.values()]
    whole = reduce(Spend.__add__, spends, Spend())
    rows = [
        _Row(
            task,
            calls[task.id],
            result_of.get(task.id) or TaskResult(task_id=task.id, refused="not evaluated"),
            specialist_of.get(result_of[task.id].chosen) if task.id in result_of else None,
            prices,
            n_cores,
            [s for s in finetuned.specialists if s.task_id == task.id],
        )
        for task in discovered.tasks
    ]
    rows.sort(key=lambda r: (-r.n_code_calls, r.task.id))
    report: dict[str, Any] = {
        "version": REPORT_VERSION,
        "run_id": run_id,
        "seed": config.seed,
        "epsilon": config.epsilon,
        "delta": config.delta,
        "source": {
            "n_calls": curated.n_calls,
            "n_episodes": curated.n_episodes,
            "n_code_calls": curated.n_code_calls,
            "n_skipped": n_skipped,
            "skipped": dict(skipped or {}),
            "models": _models(curated.examples, config.min_origins),
            "sites": [
                {
                    "id": s.id,
                    "name": s.name,
                    "agent": s.agent,
                    "n_calls": s.n_calls,
                    "n_human": s.n_human,
                    "n_code": s.n_code,
                    "audience": s.audience,
                    "evidence": s.evidence,
                }
                for s in curated.sites
            ],
        },
        "curate": {
            "n_kept": sum(e.trainable for e in curated.examples),
            "dropped": dict(curated.dropped),
            "entities": dict(curated.entities),
            "detectors": list(curated.detectors),
            "measured": curated.measured,
            "splits": _splits(curated.examples),
            "warnings": list(curated.warnings),
        },
        "tasks": [_task(r, n_code_calls, whole.usd, selected) for r in rows],
        "unassigned": dict(discovered.unassigned),
        "total": _total(rows, n_code_calls, whole, finetuned, prices, n_cores, config),
        "timings_s": dict(timings_s),
        "environment": dict(environment),
        "notes": _notes(rows, curated, whole, config),
        "assumptions": prices.assumptions(),
    }
    plain: dict[str, Any] = _plain(report)
    return plain


class _Row:
    """One task with everything known of it."""

    def __init__(
        self,
        task: Task,
        examples: Sequence[Example],
        result: TaskResult,
        specialist: Specialist | None,
        prices: Prices,
        n_cores: int,
        trained: Sequence[Specialist],
    ) -> None:
        self.task, self.examples, self.result, self.specialist = task, examples, result, specialist
        self.trained = trained
        self.n_all = len(examples)
        self.code_calls = [e for e in examples if e.audience == "code"]
        self.n_code_calls = len(self.code_calls)
        self.spend = _spend(self.code_calls, prices)
        self.routed = result.certificate is not None and not result.refused
        held = result.held_out
        # where no held-out call is left to measure on, the share is the one seen in calibration
        self.share_served = 0.0
        if self.routed and result.certificate is not None:
            self.share_served = held.share_served if held is not None else result.certificate.share_served
        self.seconds_per_call = float(result.extra.get("seconds_per_call") or 0.0)
        # a specialist is asked at every call of its site, those for people included; what it does not serve is spent twice
        asked_usd = prices.specialist_usd(self.seconds_per_call, n_cores) * self.n_all if self.routed else 0.0
        served_calls = self.share_served * self.n_code_calls
        self.specialist_usd = asked_usd * served_calls / self.n_all if self.n_all else 0.0
        self.escalation_usd = asked_usd - self.specialist_usd
        self.specialist_s = self.seconds_per_call * self.n_all if self.routed else 0.0
        self.share_of_cost_served = (
            float(result.extra.get("share_of_cost_served", self.share_served)) if self.routed else 0.0
        )

    @property
    def llm_usd_left(self) -> float:
        return self.spend.usd * (1 - self.share_of_cost_served)


def _spend(examples: Sequence[Example], prices: Prices) -> Spend:
    return reduce(Spend.__add__, (llm_spend(e, prices) for e in examples), Spend())


def _models(examples: Sequence[Example], least: int) -> dict[str, int]:
    """Calls by the LLM that answered; a name that fewer data subjects have is not told (a model may be one person's)."""
    named = Subjects([e.subject for e in examples], least).shared([e.model] for e in examples)
    told = (e.model if e.model in named else "others" if e.model else "" for e in examples)
    return dict(Counter(name or "unknown" for name in told).most_common())


def _splits(examples: Sequence[Example]) -> dict[str, dict[str, int]]:
    out: dict[str, dict[str, int]] = {}
    for split in ("train", "validation", "calibration", "test"):
        side = [e for e in examples if e.split == split]
        out[split] = {"n_calls": len(side), "n_groups": len({e.group for e in side})}
    return out


def _task(row: _Row, n_code_calls: int, llm_usd: float, selected: Selected) -> dict[str, Any]:
    task, result, specialist = row.task, row.result, row.specialist
    certificate, held_out, test = result.certificate, result.held_out, result.test
    extra = {
        k: v for k, v in result.extra.items() if k != "held_out_groups"
    }  # group names stay in the sealed results
    return {
        "id": task.id,
        "name": task.name,
        "kind": task.contract.kind,
        "n_calls": row.n_code_calls,
        "n_calls_for_people": row.n_all - row.n_code_calls,
        "share_of_calls": row.n_code_calls / n_code_calls if n_code_calls else 0.0,
        "share_of_cost": row.spend.usd / llm_usd if llm_usd else 0.0,
        "n_origins": task.n_origins,
        "n_episodes": task.n_episodes or len({e.episode for e in row.examples}),
        "site": task.site,
        "signature": task.signature,
        "template": task.template,
        "contract": _contract(task),
        "candidates": [
            {
                "model": c.model,
                "probe_accuracy": c.probe_accuracy,
                "fits": c.fits,
                "licence": c.licence,
                "method": c.method,
                "n_probe": c.n_probe,
                "note": c.note,
            }
            for c in selected.candidates.get(task.id, [])
        ],
        "specialist": None
        if specialist is None
        else {
            "id": specialist.id,
            "model": specialist.model,
            "method": specialist.method,
            "n_train": specialist.n_train,
            "train_s": specialist.train_s,
            "tokens_per_s": specialist.tokens_per_s,
            "prompt_tokens_before": specialist.prompt_tokens_before,
            "prompt_tokens_after": specialist.prompt_tokens_after,
            "kind": specialist.kind,
            "path": specialist.path,
            "seconds_per_call": row.seconds_per_call or None,
        },
        "leak_tests": [
            {"method": s.method, **msgspec.structs.asdict(s.leak)} for s in row.trained if s.leak is not None
        ],
        "test": None
        if test is None
        else {
            "n_calls": test.n_calls,
            "n_episodes": test.n_episodes,
            "majority_accuracy": test.majority_accuracy,
            "base_accuracy": test.base_accuracy,
            "tuned_accuracy": test.tuned_accuracy,
            "tuned_interval": test.tuned_interval,
        },
        "certificate": None
        if certificate is None
        else {
            "id": certificate.id,
            "kind": certificate.kind,
            "epsilon": certificate.epsilon,
            "delta": certificate.delta,
            "n_calibration": certificate.n_calibration,
            "threshold": certificate.threshold,
            "share_served": certificate.share_served,
            "p_value": certificate.p_value,
            "label_source": certificate.label_source,
            "claim": certificate.claim,
            "n_served": certificate.n_served,
            "n_errors": certificate.n_errors,
        },
        "held_out": None
        if held_out is None
        else {
            "n_calls": held_out.n_calls,
            "share_served": held_out.share_served,
            "loss_difference": held_out.loss_difference,
            "loss_difference_interval": held_out.loss_difference_interval,
        },
        "refused": result.refused or None,
        "median_llm_latency_ms": _median(e.latency_ms for e in row.code_calls),
        "cost": {
            "llm_only_usd": row.spend.usd,
            "routed_usd": row.llm_usd_left + row.specialist_usd + row.escalation_usd,
            "specialist_usd": row.specialist_usd,
            "escalation_usd": row.escalation_usd,
        },
        "rungs": result.rungs,
        "curve": result.curve,
        "at_epsilon": extra.pop("at_epsilon", []),
        "extra": extra,
    }


def _median(values: Any) -> float | None:
    known = [v for v in values if v is not None]
    return statistics.median(known) if known else None


def _contract(task: Task) -> dict[str, Any]:
    c = task.contract
    return {
        "kind": c.kind,
        "n_labels": len(c.labels),
        "labels": c.labels[:12],
        "fields": [{"name": f.name, "type": f.type, "n_labels": len(f.labels)} for f in c.fields],
        "tools": c.tools,
        "may_defer": c.may_defer,
    }


def _total(
    rows: Sequence[_Row],
    n_code_calls: int,
    whole: Spend,
    finetuned: Finetuned,
    prices: Prices,
    n_cores: int,
    config: Convert,
) -> dict[str, Any]:
    n = max(1, n_code_calls)
    share = sum(r.share_served * r.n_code_calls for r in rows) / n
    loss, interval = _total_loss(rows, n, config.seed)
    training_s = sum(s.train_s for s in finetuned.specialists)
    training_usd = prices.specialist_usd(training_s, n_cores)
    specialist_usd, escalation_usd = sum(r.specialist_usd for r in rows), sum(r.escalation_usd for r in rows)
    llm_left_usd = whole.usd - sum(r.spend.usd - r.llm_usd_left for r in rows)
    routed_usd = llm_left_usd + specialist_usd + escalation_usd
    return {
        "n_code_calls": n_code_calls,
        "n_routes": sum(r.routed for r in rows),
        "share_of_code_calls_served": share,
        "quality_difference": -loss,
        "quality_difference_interval": (-interval[1], -interval[0]),
        "agreement_of_served": _agreement_of_served(rows),
        "cost": {
            "llm_only_usd": whole.usd,
            "routed_usd": routed_usd,
            "specialist_usd": specialist_usd,
            "escalation_usd": escalation_usd,
            "training_usd": training_usd,
            "judging_usd": 0.0,
            "shadow_usd": 0.0,
            "llm_left_usd": llm_left_usd,
            "break_even_calls": break_even_calls(training_usd, (whole.usd - routed_usd) / n),
            "n_calls_priced": n_code_calls,
            "n_calls_tokens_estimated": whole.n_estimated,
            "n_calls_price_assumed": whole.n_assumed,
        },
        "energy": _energy(rows, whole, training_s, prices, n_cores),
        "at_epsilon": _at_epsilon(rows, n),
    }


def _total_loss(rows: Sequence[_Row], n: int, seed: int) -> tuple[float, Interval]:
    """Added errors per non-HCI call of the whole log, with an interval over whole groups.

    Each routed task weighs what it weighs in the log; unrouted ones add nothing. An error on a call meant for a person
    counts too, though only non-HCI calls are in the denominator.
    """
    routed = [r for r in rows if r.routed and r.result.extra.get("held_out_groups")]
    if not routed:
        return 0.0, (0.0, 0.0)
    sums: dict[str, float] = {}
    counts: dict[str, float] = {}
    weight_of_all, n_held = 0.0, 0.0
    for row in routed:
        groups: dict[str, list[float]] = row.result.extra["held_out_groups"]
        held_n = sum(counted for counted, _ in groups.values())
        if not held_n:
            continue
        weight = row.n_code_calls / n  # of the log; each held-out call stands for weight / held_n of it
        weight_of_all += weight
        n_held += held_n
        for group, (counted, lost) in groups.items():
            sums[group] = sums.get(group, 0.0) + lost * weight / held_n
            counts[group] = counts.get(group, 0.0) + counted * weight / held_n
    if not weight_of_all:
        return 0.0, (0.0, 0.0)
    names = sorted(sums)
    # mean over calls of routed tasks, in units of calls so that an effective number can be told from it
    scale = n_held / weight_of_all
    values = Grouped(np.array([sums[g] for g in names]) * scale, np.array([counts[g] for g in names]) * scale)
    binary = all(
        r.result.certificate is not None and r.result.certificate.kind == "not_worse_than_llm" for r in routed
    )
    low, high = grouped_interval(values, binary=binary and values.mean <= 1, seed=seed)
    return values.mean * weight_of_all, (low * weight_of_all, high * weight_of_all)


def _agreement_of_served(rows: Sequence[_Row]) -> float | None:
    weighed = [
        (r.share_served * r.n_code_calls, float(r.result.extra["agreement_of_served"]))
        for r in rows
        if r.routed and r.result.extra.get("agreement_of_served") is not None
    ]
    total = sum(w for w, _ in weighed)
    return sum(w * a for w, a in weighed) / total if total else None


def _energy(
    rows: Sequence[_Row], whole: Spend, training_s: float, prices: Prices, n_cores: int
) -> dict[str, Any]:
    llm_wh = prices.llm_wh(whole)
    saved_wh = sum(r.share_of_cost_served * prices.llm_wh(r.spend) for r in rows)
    specialist_wh = sum(prices.specialist_wh(r.specialist_s, n_cores) for r in rows)
    routed_wh, training_wh = llm_wh - saved_wh + specialist_wh, prices.specialist_wh(training_s, n_cores)
    return {
        "llm_only_wh": llm_wh,
        "routed_wh": routed_wh,
        "specialist_wh": specialist_wh,
        "training_wh": training_wh,
        "llm_only_co2e_g": prices.co2e_g(llm_wh),
        "routed_co2e_g": prices.co2e_g(routed_wh),
        "training_co2e_g": prices.co2e_g(training_wh),
    }


def _at_epsilon(rows: Sequence[_Row], n: int) -> list[dict[str, Any]]:
    """What of the whole log could be served at other losses: with a certificate, and by hindsight (an upper bound)."""
    out: dict[float, dict[str, float]] = {}
    for row in rows:
        for at in row.result.extra.get("at_epsilon", []):
            total = out.setdefault(
                at["epsilon"], {"certified": 0.0, "held_out": 0.0, "hindsight": 0.0, "unseen": 0.0}
            )
            weight = row.n_code_calls / n
            total["certified"] += weight * at["share_certified"]
            total["held_out"] += weight * at["share_held_out"]
            total["hindsight"] += weight * at["share_hindsight"]
            total["unseen"] += weight * at["share_hindsight_unseen"]
    return [
        {
            "epsilon": epsilon,
            "share_certified": t["certified"],
            "share_held_out": t["held_out"],
            "share_hindsight": t["hindsight"],
            "share_hindsight_unseen": t["unseen"],
        }
        for epsilon, t in sorted(out.items())
    ]


def _notes(rows: Sequence[_Row], curated: Curated, whole: Spend, config: Convert) -> list[str]:
    """What a reader should know before quoting a figure."""
    notes = [
        "Agreement is with the LLM's recorded answer: where the LLM was wrong, a specialist that copies it is counted "
        "right, and one that is right is counted wrong.",
        "A certificate holds for calls like those it was calibrated on; a changed prompt template or tool schema "
        "closes the route, a slow drift has to be noticed by auditing.",
        f"Each certificate holds with probability {1 - config.delta:.0%} by itself; over several routes one in "
        f"{round(1 / config.delta)} may be wrong.",
        "Costs are of the recorded non-HCI calls; training is paid once and stands beside them.",
    ]
    if any(r.routed and r.result.extra.get("mixed") for r in rows):
        notes.append(
            "At a mixed site the loss is over all calls of the site, those meant for people included; the share served is "
            "of the non-HCI calls."
        )
    dear = [
        r.task.name
        for r in rows
        if r.routed and r.specialist_usd + r.escalation_usd > r.spend.usd - r.llm_usd_left > 0
    ]
    if dear:
        notes.append(f"On this machine the specialist costs more than it saves for: {', '.join(dear)}.")
    if whole.n_estimated:
        notes.append(
            f"{whole.n_estimated} of the calls had no token counts; theirs are estimated from characters."
        )
    if whole.n_assumed:
        notes.append(
            f"{whole.n_assumed} of the calls name no model with a listed price; a stand-in price was used."
        )
    if curated.n_code_calls == 0:
        notes.append("No call of this log is directed at code, so nothing may be served by a specialist.")
    notes += list(curated.warnings)
    return notes


def _plain(value: Any) -> Any:
    """The value as JSON has it: tuples as lists, records as dicts, numpy scalars as numbers, NaN and infinity as null."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, str | int | bool):
        return value
    return str(value)
