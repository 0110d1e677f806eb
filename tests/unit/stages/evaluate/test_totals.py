"""Totals weigh each task by its calls; an unrouted one adds no loss and saves nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from deputize.core.artifacts import Finetuned
from deputize.core.report_schema import ReportTotal
from deputize.core.task_results import EpsilonRow, TaskResult
from deputize.scoring.costs import Spend, load_prices
from deputize.stages.evaluate.task_figures import TaskFigures
from deputize.stages.evaluate.text_counts import TaskTexts
from deputize.stages.evaluate.totals import totals

PRICES = load_prices()


def total_of(world: Any, results: list[TaskResult], n_code_calls: int) -> ReportTotal:
    tasks = [
        TaskFigures(
            world.discovered.tasks[0],
            TaskTexts.of(world.discovered.tasks[0], world.curated.examples, PRICES),
            r,
            world.finetuned.specialists,
            PRICES,
            1,
        )
        for r in results
    ]
    whole = sum((t.spend for t in tasks), Spend())
    return totals(tasks, n_code_calls, whole, Finetuned(specialists=[]), PRICES, n_cores=1, seed=0)


def test_a_routed_task_counts_with_its_share_of_the_log(world: Callable[..., Any]) -> None:
    w = world()
    (result,) = w.run(clock=lambda: 0.0)
    refused = TaskResult(task_id="t1", refusal_reason="too few")
    total = total_of(w, [result, refused], 6000)
    held = result.held_out
    assert total.n_routes == 1
    assert total.share_of_code_calls_served == pytest.approx(held.share_served / 2)
    assert total.quality_difference == pytest.approx(-held.loss_difference / 2)
    low, high = total.quality_difference_interval
    assert low < total.quality_difference < high <= 0
    assert total.agreement_of_served == pytest.approx(held.agreement_of_served)
    assert total.cost.llm_usd == pytest.approx(total.cost.llm_only_usd * (1 - held.share_of_cost_served / 2))
    assert total.energy.routed_wh < total.energy.llm_only_wh


def test_without_a_route_nothing_changes(world: Callable[..., Any]) -> None:
    total = total_of(world(n_calls=100), [TaskResult(task_id="t1", refusal_reason="too few")], 100)
    assert (total.share_of_code_calls_served, total.quality_difference) == (0.0, 0.0)
    assert total.quality_difference_interval == (0.0, 0.0) and total.agreement_of_served is None
    assert total.cost.routed_usd == total.cost.llm_only_usd and total.cost.break_even_calls is None


def test_other_losses_are_weighed_too(world: Callable[..., Any]) -> None:
    def tested(share: float) -> TaskResult:
        rows = [EpsilonRow(epsilon=e, share_certified=share, oracle_coverage=share) for e in (0.05, 0.01)]
        return TaskResult(task_id="t1", refusal_reason="x", by_epsilon=rows)

    w = world(n_calls=100)
    total = total_of(w, [tested(0.4), tested(0.8), TaskResult(task_id="t1", refusal_reason="untrained")], 400)
    assert [(r.epsilon, round(r.share_certified, 6)) for r in total.by_epsilon] == [(0.01, 0.3), (0.05, 0.3)]


def test_a_route_without_held_out_calls_adds_nothing_to_the_share_on_them(world: Callable[..., Any]) -> None:
    w = world()
    (result,) = w.run(clock=lambda: 0.0)
    total = total_of(w, [msgspec.structs.replace(result, held_out=None)], 3000)
    assert (total.n_routes, total.n_routes_without_held_out) == (1, 1)
    assert total.share_of_code_calls_served == 0.0 and total.agreement_of_served is None
