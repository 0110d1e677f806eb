"""Evaluation within its time: simulated slow specialists on a clock that only they move."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.stages.evaluate.conftest import Clock, Slow, World, make_world, unit

from deputize.core.artifacts import Discovered, Finetuned, Selected
from deputize.core.config import Convert
from deputize.core.deadline import Deadline
from deputize.core.records import Prediction, Request
from deputize.core.task_results import TaskResult
from deputize.stages.evaluate.delta_budget import DeltaBudget
from deputize.stages.evaluate.run import run
from deputize.stages.evaluate.timed_predictor import FIRST

Make = Callable[..., Any]


def evaluate(
    world: World,
    seconds_left: float,
    seconds: dict[str, Callable[[int, str], float]],
    config: Convert | None = None,
) -> tuple[list[TaskResult], Clock, list[Slow]]:
    """Evaluation over a world whose specialists take `seconds` by method."""
    clock = Clock()
    slow = {p: Slow(sim, clock, seconds[p.rsplit("-", 1)[-1]]) for p, sim in world.predictors.items()}

    def load(folder: Path) -> Slow:
        return slow[str(folder.relative_to(world.home))]

    results = run(
        world.curated,
        world.discovered,
        world.selected,
        world.finetuned,
        world.population,
        config or Convert(epsilon=0.02),
        home=world.home,
        load=load,
        deadline=Deadline.after(seconds_left, clock),
        clock=clock,
    )
    return results, clock, list(slow.values())


def many(home: Path, n_tasks: int, n_calls: int, **given: Any) -> World:
    """Several tasks in one log, each with a linear and a lora method."""
    worlds = [make_world(home, n_calls=n_calls, **given) for _ in range(n_tasks)]
    examples, tasks, specialists, plan, predictors, assignment = [], [], [], {}, {}, {}
    for k, w in enumerate(worlds):
        task = msgspec.structs.replace(w.discovered.tasks[0], id=f"t{k}", keys=[f"sig/{k}"])
        tasks.append(task)
        plan[task.id] = ["linear", "lora"]
        for example in w.curated.examples:
            named = msgspec.structs.replace(example, call_id=f"{task.id}-{example.call_id}")
            examples.append(named)
            assignment[named.call_id] = task.id
        for s in w.finetuned.specialists:
            path = f"runs/r/specialists/{task.id}-{s.method}"
            specialists.append(
                msgspec.structs.replace(s, id=f"{task.id}-{s.method}", task_id=task.id, path=path)
            )
            predictors[path] = w.predictors[s.path]
    first = worlds[0]
    first.curated = msgspec.structs.replace(first.curated, examples=examples)
    first.discovered = Discovered(tasks=tasks, keyspaces=first.discovered.keyspaces, assignment=assignment)
    first.selected = Selected(candidates={}, plan=plan, base_model="m")
    first.finetuned = Finetuned(specialists=specialists)
    first.predictors = predictors
    return first


@settings(max_examples=30, deadline=None)
@given(
    seconds_left=st.floats(0, 3000),
    lora_s=st.floats(1e-3, 20),
    linear_s=st.floats(0, 0.1),
    spread=st.floats(0, 3),
    slower=st.floats(1, 5),
    n_tasks=st.integers(1, 3),
)
def test_the_deadline_is_overrun_by_one_chunk_at_most(
    tmp_path_factory: pytest.TempPathFactory,
    seconds_left: float,
    lora_s: float,
    linear_s: float,
    spread: float,
    slower: float,
    n_tasks: int,
) -> None:
    """Whatever a call takes, however much calls differ, and though the machine may become slower on the way."""
    world = many(tmp_path_factory.mktemp("home"), n_tasks, 400)

    def lora(n: int, text: str) -> float:
        return lora_s * math.exp(spread * (unit("seconds", text) - 0.5)) * (slower if n > 60 else 1.0)

    results, clock, slow = evaluate(world, seconds_left, {"linear": lambda n, t: linear_s, "lora": lora})
    assert clock.now <= seconds_left + max(s.longest for s in slow) + 1e-6
    assert len(results) == n_tasks
    for result in results:
        assert (result.certificate is None) == bool(result.refusal_reason)


def test_a_slow_specialist_is_refused_with_the_numbers(world: Make) -> None:
    (result,), clock, _ = evaluate(world(methods={"lora": 0.0}), 120.0, {"lora": lambda n, t: 2.0})
    assert result.certificate is None and clock.now <= 136.0
    assert "160 without an error are needed" in result.refusal_reason
    assert "time allowed for" in result.refusal_reason and "2 s a call" in result.refusal_reason


def test_no_time_at_all_is_said_and_nothing_is_asked(world: Make) -> None:
    (result,), clock, _ = evaluate(world(), 0.0, {"linear": lambda n, t: 1.0, "lora": lambda n, t: 1.0})
    assert clock.now == 0.0 and "no time was left" in result.refusal_reason


def test_a_slow_method_next_to_a_fast_one_does_not_starve_it(world: Make) -> None:
    """The fast one reads all there is; the slow one what fits, and is shown with its own number of calls."""
    w = world(methods={"linear": 0.3, "lora": 0.3}, n_calls=3000)
    (result,), clock, _ = evaluate(w, 300.0, {"linear": lambda n, t: 0.001, "lora": lambda n, t: 1.0})
    n_test = sum(e.split == "test" for e in w.curated.examples)
    linear, lora = (r for r in result.methods if r.trained)
    assert result.chosen == "t1-linear" and result.certificate is not None and clock.now <= 310.0
    assert linear.n_test == n_test and lora.n_test is not None and 0 < lora.n_test < n_test
    assert result.evaluation.n_calibration_calls == sum(e.split == "calibration" for e in w.curated.examples)


def test_units_that_time_did_not_allow_to_read_count_as_served_errors(world: Make) -> None:
    """A machine that slows down during calibration: what was planned and not read may not help the claim."""
    w = world(methods={"lora": 0.0}, n_calls=3000)
    n_validation = sum(e.split == "validation" for e in w.curated.examples)

    def stalls(n: int, text: str) -> float:
        return 0.1 if n < n_validation + 400 else 1e4

    (result,), _, _ = evaluate(w, 200.0, {"lora": stalls})
    assert result.evaluation.n_calibration_not_evaluated > 0
    read = result.evaluation.n_calibration_groups - result.evaluation.n_calibration_not_evaluated
    assert sum(one.is_unit for one in result.calibration) == read
    assert result.certificate is None, "hundreds of unread units cannot be claimed to be right"
    (whole,), _, _ = evaluate(world(methods={"lora": 0.0}, n_calls=3000), 2000.0, {"lora": lambda n, t: 0.1})
    assert whole.certificate is not None and whole.evaluation.n_calibration_not_evaluated == 0


def test_wrong_answers_that_take_long_do_not_earn_a_certificate(tmp_path: Path) -> None:
    """Were reading merely stopped at the limit, slow errors would be left out and quick right answers certified."""
    broken = 0
    for seed in range(40):
        # 6 % wrong, all of them served at threshold 0
        w = make_world(tmp_path, methods={"lora": 0.24}, n_calls=1500)
        clock = Clock()
        sim = w.predictors["runs/r/specialists/t1-lora"]

        class Honest(Slow):
            """Wrong answers take 400 times as long; confidence says nothing."""

            def predict(self, requests: Sequence[Request]) -> list[Prediction]:
                found = self.inner.predict(requests)
                for request, p in zip(requests, found, strict=True):
                    text = str(request.messages[-1]["content"])
                    self.clock.now += 0.05 if p.answer == self.inner.truth[text] else 20.0
                return [msgspec.structs.replace(p, confidence=0.5) for p in found]

        slow = Honest(sim, clock, lambda n, t: 0.0)
        (result,) = run(
            w.curated,
            w.discovered,
            w.selected,
            w.finetuned,
            w.population,
            Convert(seed=seed, epsilon=0.05),
            home=w.home,
            load=lambda folder, slow=slow: slow,  # type: ignore[misc]
            deadline=Deadline.after(600.0, clock),
            clock=clock,
        )
        broken += result.certificate is not None
    assert broken <= 6  # at delta = .05 two are expected, more than six have a chance of 1 %


def test_tasks_share_the_time_by_need(tmp_path: Path) -> None:
    world = many(tmp_path, 3, 1500)
    results, clock, _ = evaluate(world, 600.0, {"linear": lambda n, t: 0.001, "lora": lambda n, t: 0.2})
    assert clock.now <= 615.0
    assert all(r.certificate is not None for r in results), [r.refusal_reason for r in results]


def test_what_decides_is_read_for_all_tasks_before_a_more_expensive_method_is_shown(tmp_path: Path) -> None:
    """A quick method that is right on all of validation settles the choice: a slow one as well costs no certificate."""
    world = many(tmp_path, 3, 1500, methods={"linear": 0.0, "lora": 0.0})
    results, clock, _ = evaluate(
        world, 60.0, {"linear": lambda n, t: 0.001, "lora": lambda n, t: 4.0}, Convert(epsilon=0.05)
    )
    assert clock.now <= 60.0 + FIRST * 4.0
    assert all(r.certificate is not None and r.chosen.endswith("linear") for r in results)
    n_test = sum(e.split == "test" for e in world.curated.examples) / 3
    for result in results:
        linear, lora = (r for r in result.methods if r.trained)
        assert linear.n_test == n_test, "the chosen method is shown on all there is"
        assert lora.chosen is False and lora.n_test is not None and lora.n_test < n_test
        if not lora.n_test:
            assert lora.test_accuracy is None and lora.test_coverage["0.05"] is None


@pytest.mark.parametrize("left", [0.0, 1.05])
def test_nothing_of_delta_is_spent_where_no_unit_can_be_asked(tmp_path: Path, left: float) -> None:
    """Also where one call would fit into the time, but not into the part of it that calibration gets."""
    world, kept, clock = make_world(tmp_path, n_calls=1_200, methods={"linear": 0.3}), DeltaBudget(), Clock()
    [simulated] = world.predictors.values()
    each = 30.0 / FIRST
    slow = Slow(simulated, clock, lambda n, text: each)
    [result] = run_once(world, slow, Deadline.after(30.0 + left * each, clock), clock, kept)
    assert result.certificate is None and "no time was left" in result.refusal_reason
    assert len(simulated.asked) == FIRST and kept.ledger.read().tests == []


def test_the_same_test_again_asks_as_many_calls_however_much_time_there_is(tmp_path: Path) -> None:
    """A test that was stopped, or is done again by `--again`, is no second one: with more calls it would be."""
    world, kept, clock = make_world(tmp_path, n_calls=1_200, methods={"linear": 0.3}), DeltaBudget(), Clock()
    [simulated] = world.predictors.values()

    def units(seconds: float) -> int:
        slow = Slow(simulated, clock, lambda n, text: 1.0)
        [result] = run_once(world, slow, Deadline.after(seconds, clock), clock, kept)
        assert len(kept.ledger.read().tests) == 1 and result.delta_spending is not None
        assert result.delta_spending.test_level == pytest.approx(0.04)
        return result.evaluation.n_calibration_groups

    first = units(150.0)
    assert 0 < first < len([e for e in world.curated.examples if e.split == "calibration"])
    assert units(1e5) == first
    assert units(90.0) == first, "what cannot be asked in less time counts as wrong"


def run_once(
    world: World, slow: Slow, deadline: Deadline, clock: Clock, budget: DeltaBudget
) -> list[TaskResult]:
    """Evaluation of a world by one slow specialist."""
    return run(
        world.curated,
        world.discovered,
        world.selected,
        world.finetuned,
        world.population,
        Convert(epsilon=0.02),
        home=world.home,
        load=lambda folder: slow,
        deadline=deadline,
        clock=clock,
        budget=budget,
    )
