"""A task's share, cost and entry follow from its result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from deputize.core.artifacts import Candidate, Finetuned, Selected
from deputize.core.config import Convert
from deputize.core.records import Example, Usage
from deputize.core.task_results import TaskResult
from deputize.scoring.costs import load_prices
from deputize.stages.evaluate.task_figures import TaskFigures
from deputize.stages.evaluate.text_counts import TaskTexts

NOTHING = Selected(candidates={}, plan={}, base_model="")
PRICES = load_prices()


def texts(world: Any, examples: list[Example]) -> TaskTexts:
    return TaskTexts.of(world.discovered.tasks[0], examples, PRICES)


def figures(world: Any, result: TaskResult) -> TaskFigures:
    return TaskFigures(
        world.discovered.tasks[0],
        texts(world, world.curated.examples),
        result,
        world.finetuned.specialists,
        PRICES,
        2,
    )


def test_a_refused_task_stays_with_the_llm(world: Callable[..., Any]) -> None:
    one = figures(world(n_calls=100), TaskResult(task_id="t1", refusal_reason="too few"))
    assert not one.routed and one.chosen is None and one.share_served == 0.0
    assert one.llm_usd_left == one.spend.usd > 0 and one.specialist_usd == one.deferred_usd == 0.0
    row = Candidate(model="lora", note="not trained: linear could serve 99 %")
    finetuned = Finetuned(specialists=[], not_needed={"t1": [row]})
    entry = one.entry(200, 2 * one.spend.usd, NOTHING, finetuned, Convert())
    assert entry.candidates == [row]
    assert entry.specialist is None and entry.refusal_reason == "too few" and entry.certificate is None
    assert (entry.verdict.kind, entry.verdict.reason, entry.route_id) == ("llm", "too few", None)
    assert entry.share_of_calls == 0.5 and entry.share_of_cost == pytest.approx(0.5)


def test_a_served_task_pays_the_specialist_at_every_call_and_the_llm_at_the_rest(
    world: Callable[..., Any],
) -> None:
    w = world()
    (result,) = w.run(clock=lambda: 0.0)
    slow = msgspec.structs.replace(result.evaluation, seconds_per_call=0.5)
    one = figures(w, msgspec.structs.replace(result, evaluation=slow))
    assert one.chosen is not None and one.chosen.id == result.chosen
    assert one.share_served == result.held_out.share_served
    asked_usd = PRICES.specialist_usd(0.5 * 3000, 2)
    assert one.specialist_usd == pytest.approx(asked_usd * one.share_served)
    assert one.specialist_usd + one.deferred_usd == pytest.approx(asked_usd)
    assert one.llm_usd_left == pytest.approx(one.spend.usd * (1 - result.held_out.share_of_cost_served))
    entry = one.entry(3000, one.spend.usd, NOTHING, w.finetuned, Convert())
    assert entry.specialist is not None and entry.specialist.seconds_per_call == 0.5
    assert entry.route_id == "route-t1" and entry.by_confidence
    assert entry.cost.routed_usd == pytest.approx(one.llm_usd_left + asked_usd + one.audit_usd)
    assert (
        one.audit_usd == pytest.approx(0.02 * one.spend.usd * one.share_of_cost_served) and one.audit_usd > 0
    )


def test_a_warm_cache_that_a_route_gives_up_is_counted(world: Callable[..., Any]) -> None:
    w = world()
    (result,) = w.run(clock=lambda: 0.0)
    cold = figures(w, result)
    warm_usage = Usage(prompt_tokens=1000, completion_tokens=10, cached_tokens=800)
    examples = [
        msgspec.structs.replace(e, usage=warm_usage, cost_usd=None, model="claude-sonnet-4-5")
        for e in w.curated.examples
    ]
    warm = TaskFigures(w.discovered.tasks[0], texts(w, examples), result, w.finetuned.specialists, PRICES, 2)
    assert cold.cache_usd == 0 < warm.cache_usd
    share = warm.share_served
    assert warm.cache_usd == pytest.approx(warm.spend.cache_usd * share * (1 - share))
    cost = warm.entry(3000, warm.spend.usd, NOTHING, w.finetuned, Convert()).cost
    parts = (warm.llm_usd_left, cost.specialist_usd, cost.deferred_usd, cost.audit_usd, cost.cache_usd)
    assert cost.routed_usd == pytest.approx(sum(parts))


def test_without_held_out_calls_the_share_is_the_calibrated_one(world: Callable[..., Any]) -> None:
    w = world()
    (result,) = w.run(clock=lambda: 0.0)
    one = figures(w, msgspec.structs.replace(result, held_out=None, held_out_groups={}))
    assert one.routed and one.share_served == one.share_of_cost_served == result.certificate.share_served


def test_losses_are_read_from_the_history_of_a_training(world: Callable[..., Any]) -> None:
    w = world()
    (result,) = w.run()
    specialist = next(s for s in w.finetuned.specialists if s.id == result.chosen)
    history = [{"number": 1, "train_loss": 2.0, "validation_loss": 2.5, "seconds": 1.0}, {"epoch": 0.0}]
    trained = msgspec.structs.replace(specialist, settings={"training": {"history": history}})
    one = TaskFigures(
        w.discovered.tasks[0], texts(w, w.curated.examples), result, [trained], load_prices(), 2
    )
    entry = one.entry(3000, 1.0, NOTHING, w.finetuned, Convert())
    assert entry.specialist is not None
    assert [(p.epoch, p.train, p.validation) for p in entry.specialist.losses] == [(1, 2.0, 2.5)]


def test_a_share_seen_in_calibration_is_not_one_on_held_out_calls(world: Callable[..., Any]) -> None:
    w = world()
    (result,) = w.run()
    untried = msgspec.structs.replace(result, held_out=None)
    one = TaskFigures(
        w.discovered.tasks[0],
        texts(w, w.curated.examples),
        untried,
        w.finetuned.specialists,
        load_prices(),
        2,
    )
    assert one.share_on_held_out == 0.0 < one.share_served
