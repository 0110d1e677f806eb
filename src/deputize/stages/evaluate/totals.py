"""Totals of the report over all tasks: share served, quality, costs, energy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from deputize.core.artifacts import Finetuned
from deputize.core.config import AUDIT_SHARE
from deputize.core.report_schema import ReportCost, ReportEnergy, ReportTotal, ReportTotalEpsilonRow
from deputize.scoring.costs import Prices, Spend, break_even_calls
from deputize.scoring.intervals import Grouped, Interval, grouped_interval
from deputize.stages.evaluate.task_figures import TaskFigures


def totals(
    tasks: Sequence[TaskFigures],
    n_code_calls: int,
    whole: Spend,
    finetuned: Finetuned,
    prices: Prices,
    *,
    n_cores: int,
    seed: int,
    audit_share: float = AUDIT_SHARE,
) -> ReportTotal:
    """The whole log, with its routes.

    Args:
        tasks: every discovered task.
        n_code_calls: calls of the log meant for code, those in no task included.
        whole: what the LLM cost for them.
        finetuned: every specialist that was trained, for what training cost.
        prices, n_cores: what costs are counted with, and the cores that a specialist runs on.
        seed: of the intervals.
        audit_share: share of the served calls that is audited.
    """
    n = max(1, n_code_calls)
    loss, (low, high) = _loss(tasks, n, seed)
    training_s = sum(s.train_s for s in finetuned.specialists)
    training_usd = _training_usd(finetuned, prices, n_cores)
    promotion_usd = sum(t.promotion_usd for t in tasks)
    specialist_usd = sum(t.specialist_usd for t in tasks)
    deferred_usd = sum(t.deferred_usd for t in tasks)
    llm_usd = whole.usd - sum(t.spend.usd - t.llm_usd_left for t in tasks)
    audit_usd = sum(t.audit_usd for t in tasks)
    cache_usd = sum(t.cache_usd for t in tasks)
    routed_usd = llm_usd + specialist_usd + deferred_usd + audit_usd + cache_usd
    return ReportTotal(
        n_code_calls=n_code_calls,
        n_routes=sum(t.routed for t in tasks),
        share_of_code_calls_served=sum(t.share_on_held_out * t.n_code_calls for t in tasks) / n,
        n_routes_without_held_out=sum(t.routed and t.result.held_out is None for t in tasks),
        quality_difference=-loss,
        quality_difference_interval=(-high, -low),
        agreement_of_served=_agreement_of_served(tasks),
        cost=ReportCost(
            llm_only_usd=whole.usd,
            routed_usd=routed_usd,
            specialist_usd=specialist_usd,
            deferred_usd=deferred_usd,
            training_usd=training_usd,
            promotion_usd=promotion_usd,
            audit_usd=audit_usd,
            cache_usd=cache_usd,
            audit_share=audit_share,
            llm_usd=llm_usd,
            break_even_calls=break_even_calls(training_usd + promotion_usd, (whole.usd - routed_usd) / n),
            n_calls_priced=n_code_calls,
            n_calls_tokens_estimated=whole.n_estimated,
            n_calls_price_assumed=whole.n_assumed,
        ),
        energy=_energy(tasks, whole, training_s, prices, n_cores),
        by_epsilon=_by_epsilon(tasks, n),
    )


def _training_usd(finetuned: Finetuned, prices: Prices, n_cores: int) -> float:
    """Cost of this machine for training, and of what other models were asked for meanwhile."""
    return sum(prices.specialist_usd(s.train_s, n_cores) + s.teacher_usd for s in finetuned.specialists)


def _loss(tasks: Sequence[TaskFigures], n: int, seed: int) -> tuple[float, Interval]:
    """Added errors a call meant for code, over the whole log, with an interval over whole groups.

    Each routed task weighs what it weighs in the log; unrouted ones add nothing. An error on a call meant for a person
    counts too, though only calls meant for code are in the denominator.
    """
    routed = [t for t in tasks if t.routed and t.result.held_out_groups]
    if not routed:
        return 0.0, (0.0, 0.0)
    sums: dict[str, float] = {}
    counts: dict[str, float] = {}
    weight_of_all, n_held = 0.0, 0.0
    for task in routed:
        groups = task.result.held_out_groups
        held_n = sum(counted for counted, _ in groups.values())
        if not held_n:
            continue
        weight = task.n_code_calls / n  # of the log; each held-out call stands for weight / held_n of it
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
        t.result.certificate is not None and t.result.certificate.kind == "not_worse_than_llm" for t in routed
    )
    low, high = grouped_interval(values, binary=binary and values.mean <= 1, seed=seed)
    return values.mean * weight_of_all, (low * weight_of_all, high * weight_of_all)


def _agreement_of_served(tasks: Sequence[TaskFigures]) -> float | None:
    weighed = [
        (t.share_served * t.n_code_calls, t.result.held_out.agreement_of_served)
        for t in tasks
        if t.routed and t.result.held_out is not None and t.result.held_out.agreement_of_served is not None
    ]
    total = sum(weight for weight, _ in weighed)
    return sum(weight * agreement for weight, agreement in weighed) / total if total else None


def _energy(
    tasks: Sequence[TaskFigures], whole: Spend, training_s: float, prices: Prices, n_cores: int
) -> ReportEnergy:
    llm_wh = prices.llm_wh(whole)
    saved_wh = sum(t.share_of_cost_served * prices.llm_wh(t.spend) for t in tasks)
    specialist_wh = sum(prices.specialist_wh(t.specialist_s, n_cores) for t in tasks)
    routed_wh, training_wh = llm_wh - saved_wh + specialist_wh, prices.specialist_wh(training_s, n_cores)
    return ReportEnergy(
        llm_only_wh=llm_wh,
        routed_wh=routed_wh,
        specialist_wh=specialist_wh,
        training_wh=training_wh,
        llm_only_co2e_g=prices.co2e_g(llm_wh),
        routed_co2e_g=prices.co2e_g(routed_wh),
        training_co2e_g=prices.co2e_g(training_wh),
    )


def _by_epsilon(tasks: Sequence[TaskFigures], n: int) -> list[ReportTotalEpsilonRow]:
    """Shares of the whole log at every epsilon that any task was tested at."""
    rows = [(t.n_code_calls / n, row) for t in tasks for row in t.result.by_epsilon]
    return [
        ReportTotalEpsilonRow(
            epsilon=epsilon,
            share_certified=sum(w * row.share_certified for w, row in rows if row.epsilon == epsilon),
            share_held_out=sum(w * row.share_held_out for w, row in rows if row.epsilon == epsilon),
            oracle_coverage=sum(w * row.oracle_coverage for w, row in rows if row.epsilon == epsilon),
            oracle_coverage_calibration_and_test=sum(
                w * row.oracle_coverage_calibration_and_test for w, row in rows if row.epsilon == epsilon
            ),
        )
        for epsilon in sorted({row.epsilon for _, row in rows})
    ]
