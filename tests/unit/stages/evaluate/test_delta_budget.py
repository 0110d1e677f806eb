"""Delta is shared by all tests on the same groups, and, where that is asked for, by all tasks of a run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from tests.unit.stages.evaluate.test_evaluate_time import many

from deputize.core.config import Convert
from deputize.core.records import Contract
from deputize.core.text_measures import TextMeasure
from deputize.scoring.ledger import digests
from deputize.stages.evaluate.delta_budget import DeltaBudget, InMemoryTestLedger, groups_by_task

Make = Callable[..., Any]
CONFIG = Convert(epsilon=0.05)


def budget(w: Any, run_id: str, tests: InMemoryTestLedger) -> DeltaBudget:
    return DeltaBudget(run_id, tests, groups_by_task(w.curated, w.discovered), lambda: 7.0)


def test_a_test_is_written_down_before_a_calibration_call_is_asked(world: Make) -> None:
    w = world(methods={"lora": 0.0}, n_calls=600)
    by_split = {e.request.messages[-1]["content"]: e.split for e in w.curated.examples}
    (sim,) = w.predictors.values()
    asked: list[set[str]] = []

    class Watching(InMemoryTestLedger):
        def add(self, test: Any) -> None:
            asked.append({by_split[text] for text in sim.asked})
            super().add(test)

    tests = Watching()
    (result,) = w.run(CONFIG, budget=budget(w, "r1", tests))
    assert asked == [{"validation"}]
    (test,) = tests.read().tests
    assert (test.run_id, test.task_id, test.at_s, test.delta) == ("r1", "t1", 7.0, 0.05)
    assert (
        test.test_level
        == result.delta_spending.test_level
        == result.certificate.test_level
        == pytest.approx(0.04)
    )
    assert test.groups == digests({e.group for e in w.curated.examples}), "labels of all splits were seen"
    assert test.calls == digests({e.call_id for e in w.curated.examples})
    assert (result.certificate.created_s, result.certificate.renew_after_days) == (
        7.0,
        CONFIG.renew_after_days,
    )
    assert result.certificate.renew_after_calls == CONFIG.renew_after_calls == 100_000
    assert result.certificate.delta == 0.05 and result.certificate.claim.startswith("With 95 % confidence, ")


def test_a_reserve_that_is_validation_is_written_down_before_a_specialist_is_asked(world: Make) -> None:
    w = world(methods={"lora": 0.0}, n_calls=600)
    as_reserve = [
        msgspec.structs.replace(e, split="reserve" if e.split == "validation" else e.split)
        for e in w.curated.examples
    ]
    (sim,) = w.predictors.values()
    n_asked: list[int] = []

    class Watching(InMemoryTestLedger):
        def add(self, test: Any) -> None:
            n_asked.append(len(sim.asked))
            super().add(test)

    tests = Watching()
    w.known_population = w.population
    w.curated = msgspec.structs.replace(w.curated, examples=as_reserve)
    (result,) = w.run(CONFIG, budget=budget(w, "r1", tests))
    reading, test = tests.read().tests
    assert n_asked[0] == 0 < n_asked[1]
    assert reading.only_read and not test.only_read and reading.run_id == test.run_id
    read = {e.call_id for e in as_reserve if e.split == "reserve"}
    assert reading.calls == digests(read) and result.delta_spending.n_earlier == 0


def test_a_second_run_on_the_same_log_tests_at_what_is_left(world: Make) -> None:
    w, tests = world(methods={"lora": 0.0}, n_calls=600), InMemoryTestLedger()
    levels = []
    for run_id in ("r1", "r1", "r2", "r3"):
        (result,) = w.run(CONFIG, budget=budget(w, run_id, tests))
        levels.append(result.delta_spending.test_level)
    assert levels == pytest.approx([0.04, 0.04, 0.008, 0.0016]), "a run that is resumed tests once"
    assert result.delta_spending.n_earlier == 2 and result.delta_spending.delta_left == pytest.approx(
        0.05 * 0.2**3
    )
    assert result.evaluation.units_needed == 126
    for run_id in ("r4", "r5", "r6", "r7"):
        (result,) = w.run(CONFIG, budget=budget(w, run_id, tests))
    assert result.certificate is None and "are needed to claim 0.05 at level 2.6e-06" in result.refusal_reason


def test_groups_by_other_names_are_still_the_same_calls(world: Make) -> None:
    """A retry that joins a group, a deleted first call or a split by person give groups other names."""
    w, tests = world(methods={"lora": 0.0}, n_calls=600), InMemoryTestLedger()
    w.run(CONFIG, budget=budget(w, "r1", tests))
    renamed = [msgspec.structs.replace(e, group=f"now {e.group}") for e in w.curated.examples]
    w.curated = msgspec.structs.replace(w.curated, examples=renamed)
    task = msgspec.structs.replace(w.discovered.tasks[0], keys=["sig/another"])
    w.discovered = msgspec.structs.replace(w.discovered, tasks=[task])
    (result,) = w.run(CONFIG, budget=budget(w, "r2", tests))
    assert result.delta_spending.n_earlier == 1 and result.delta_spending.test_level == pytest.approx(0.008)


def test_new_episodes_are_tested_at_the_level_of_a_first_test(world: Make) -> None:
    tests = InMemoryTestLedger()
    small, grown = world(methods={"lora": 0.0}, n_calls=600), world(methods={"lora": 0.0}, n_calls=1800)
    for run_id in ("r1", "r2", "r3"):
        small.run(CONFIG, budget=budget(small, run_id, tests))
    (result,) = grown.run(CONFIG, budget=budget(grown, "r4", tests))
    calibration = {e.group for e in grown.curated.examples if e.split == "calibration"}
    new = calibration - {e.group for e in small.curated.examples}
    assert result.delta_spending.new_groups_only and result.delta_spending.test_level == pytest.approx(0.04)
    assert result.certificate.n_calibration == result.delta_spending.n_groups == len(new)


def test_a_specialist_trained_again_in_the_same_run_is_another_test(world: Make) -> None:
    w, tests = world(methods={"lora": 0.0}, n_calls=600), InMemoryTestLedger()
    w.run(CONFIG, budget=budget(w, "r1", tests))
    again = [msgspec.structs.replace(s, checksums={"w": "2"}) for s in w.finetuned.specialists]
    w.finetuned = msgspec.structs.replace(w.finetuned, specialists=again)
    (result,) = w.run(CONFIG, budget=budget(w, "r1", tests))
    assert result.delta_spending.n_earlier == 1 and len(tests.read().tests) == 2


def test_the_same_weights_compared_otherwise_are_another_test(world: Make) -> None:
    """Else a level of closeness could be lowered until a claim passes."""
    w, tests = world(methods={"lora": 0.0}, n_calls=600), InMemoryTestLedger()
    groups = {e.group: [e.call_id] for e in w.curated.examples if e.split == "calibration"}
    (task,), levels = w.discovered.tasks, []
    for measure in (None, None, TextMeasure(name="words", level=0.9), TextMeasure(name="words", level=0.8)):
        contract = Contract(kind="text", measure=measure)
        specialist = msgspec.structs.replace(w.finetuned.specialists[0], contract=contract)
        begun = budget(w, "r1", tests).begin(task, groups, specialist, CONFIG, "", lambda level: 9)
        assert begun is not None
        levels.append(begun.spending.test_level)
    assert levels == pytest.approx([0.04, 0.04, 0.008, 0.0016])


N_LOGS, DELTA = 20, 0.20


def unlucky_log(world: Make, number: int) -> Any:
    """A log of a hundred calibration groups of ten calls, on which a specialist is wrong on a little over epsilon."""
    w = world(methods={"linear": 0.0}, n_calls=1200, per_group=10)
    splits = {
        f"g{k}": "validation" if k < 6 else "train" if k < 12 else "test" if k < 20 else "calibration"
        for k in range(120)
    }
    examples = [msgspec.structs.replace(e, split=splits[e.group]) for e in w.curated.examples]
    w.curated = msgspec.structs.replace(w.curated, examples=examples)
    rng = np.random.default_rng(number)
    rate_of = dict(zip(splits, rng.beta(3, 26, 120), strict=True))
    (sim,) = w.predictors.values()
    for e in examples:
        if e.split == "calibration" and rng.random() < rate_of[e.group]:
            text = e.request.messages[-1]["content"]
            sim.truth[text] = "cancel" if sim.truth[text] != "cancel" else "refund"
    w.known_population = w.population
    return w


@pytest.mark.slow
@pytest.mark.parametrize("paid", [True, False])
def test_ten_runs_with_other_seeds_break_a_promise_no_more_often_than_one_may(
    world: Make, paid: bool
) -> None:
    """Truth .103 against epsilon .10, ten runs on each of 20 logs: tests that are not paid for break it on half of
    them."""
    n_broken = 0
    for number in range(N_LOGS):
        w, tests = unlucky_log(world, number), InMemoryTestLedger()
        for seed in range(10):
            config = Convert(epsilon=0.10, delta=DELTA, seed=seed)
            kept = tests if paid else InMemoryTestLedger()
            (result,) = w.run(config, budget=budget(w, f"r{seed}", kept))
            if result.certificate is not None:
                n_broken += 1
                break
    assert (n_broken <= DELTA * N_LOGS) == paid, n_broken


def test_all_routes_at_once_share_delta_and_the_report_says_so_next_to_each(tmp_path: Any) -> None:
    w = many(tmp_path, 3, 900)
    results: list[Any] = w.run(CONFIG)
    assert {r.certificate.test_level for r in results} == {results[0].delta_spending.test_level}
    assert all(r.family_wise.n_tasks == 3 for r in results)
    assert all(0.04 / 3 <= r.family_wise.test_level <= 0.04 + 1e-12 for r in results)
    together: list[Any] = many(tmp_path, 3, 900).run(Convert(epsilon=0.05, scope="all-routes"))
    for alone, one in zip(results, together, strict=True):
        assert (
            one.certificate.test_level == pytest.approx(one.family_wise.test_level)
            and one.family_wise.certified
        )
        assert one.certificate.delta == 0.05 and "for all 3 tasks tested at once" in one.certificate.claim
        assert one.certificate.share_served <= alone.certificate.share_served


def test_a_task_that_passes_whole_leaves_its_part_to_the_others(tmp_path: Any) -> None:
    """One perfect task and two that are not: these get half of delta each (Holm), not a third."""
    w = many(tmp_path, 3, 900)
    for sim_path, sim in list(w.predictors.items()):
        if "/t0-" in sim_path:
            w.predictors[sim_path] = type(sim)(sim.truth, sim.contract, 0.0)
    results: list[Any] = w.run(CONFIG)
    levels = sorted(r.family_wise.test_level for r in results)
    assert levels == pytest.approx([0.04 / 3, 0.04 / 2, 0.04 / 2])
