"""S6: every task's rungs are compared on dev, one is certified on calibration, all are shown on held-out episodes.

The order of looks is the point: dev fixes the rung and the grid of thresholds, calibration labels are seen once for
that rung, test labels only afterwards.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deputize.core.artifacts import (
    Curated,
    Discovered,
    Finetuned,
    HeldOut,
    Selected,
    Specialist,
    TaskResult,
    TestScore,
)
from deputize.core.config import Convert
from deputize.core.progress import Progress, silent
from deputize.core.records import Certificate, Contract, Example, Task
from deputize.scoring import certificates as cert
from deputize.scoring.costs import Prices, load_prices
from deputize.scoring.intervals import coverage_at, curve, difference_interval, proportion_interval
from deputize.stages.refine.choose import Choice, choose, in_order_of_cost
from deputize.stages.refine.measure import Measured, Predictor, majority_accuracy, measure

EPSILONS: tuple[float, ...] = (0.01, 0.02, 0.05, 0.10)
"""Losses the report shows beside the one asked for."""
MIN_SHARE = 0.01
"""A certificate that would serve less than this of the calls is not worth a route."""
MIN_PROBE = 4
"""Probed calls from which the untuned model's accuracy is worth a figure."""
MIN_DEV, SPEED_SAMPLE = 96, 16
"""Dev calls that are always read, and those that tell how fast a specialist is."""
MIN_TWINS = 0.2
"""Share of calibration units with a second LLM answer from which G2t is tested instead of G2."""


@dataclass(frozen=True)
class Limits:
    """How many calls of a task are asked for at most; whole groups are drawn at random, before any answer is seen."""

    dev: int = 600
    calibration: int = 3000
    test: int = 1500


def run(
    curated: Curated, discovered: Discovered, selected: Selected, finetuned: Finetuned, config: Convert,
    *, home: Path, load: Callable[[Path], Predictor], progress: Progress = silent,
    limits: Limits | None = None, deadline_s: float | None = None, clock: Callable[[], float] = time.perf_counter,
) -> list[TaskResult]:  # fmt: skip
    """One result per discovered task: certified, or refused with the reason and the numbers.

    Args:
        curated: examples with their side of the split.
        discovered: tasks, and which call belongs to which.
        selected: probes and plan of S4.
        finetuned: trained specialists of S5.
        config: epsilon, delta and seed.
        home: specialists' paths are relative to it.
        load: from a specialist's folder to something that predicts.
        progress: told after every chunk of calls.
        limits: most calls asked for per task and side of the split.
        deadline_s: seconds this may take in all; slow specialists are then asked for fewer calls. None: no limit.
        clock: seconds, for measured speed.
    """
    prices, limits = load_prices(home), limits or Limits()
    calls: dict[str, list[Example]] = {task.id: [] for task in discovered.tasks}
    for example in curated.examples:
        if (task_id := discovered.assignment.get(example.call_id, "")) in calls:
            calls[task_id].append(example)
    trained = {
        task.id: [s for s in finetuned.specialists if s.task_id == task.id] for task in discovered.tasks
    }
    began, results = clock(), list[TaskResult]()
    for number, task in enumerate(discovered.tasks):
        n_left = sum(bool(trained[t.id]) for t in discovered.tasks[number:]) or 1
        left_s = None if deadline_s is None else max(1.0, deadline_s - (clock() - began)) / n_left
        job = _Job(
            task, calls[task.id], config, selected, home, load, progress, prices, limits, left_s, clock
        )
        refused = finetuned.refused.get(task.id) or selected.refused.get(task.id) or ""
        results.append(job.evaluate(trained[task.id]) if trained[task.id] else job.untrained(refused))
    return results


@dataclass(frozen=True)
class _Job:
    """One task on its way through S6."""

    task: Task
    calls: list[Example]
    config: Convert
    selected: Selected
    home: Path
    load: Callable[[Path], Predictor]
    progress: Progress
    prices: Prices
    limits: Limits
    left_s: float | None
    clock: Callable[[], float]

    @property
    def contract(self) -> Contract:
        return self.task.contract

    def side(self, split: str, limit: int | None = None) -> list[Example]:
        """The calls on one side of the split; where there are more than `limit`, whole groups at random."""
        side = sorted((e for e in self.calls if e.split == split), key=lambda e: e.call_id)
        if limit is None or len(side) <= limit:
            return side
        rng = np.random.default_rng(cert.seed_of(self.config.seed, "sample", split, self.task.id))
        sizes: dict[str, int] = {}
        for example in side:
            sizes[example.group] = sizes.get(example.group, 0) + 1
        names, kept, n = sorted(sizes), set[str](), 0
        for i in rng.permutation(len(names)):
            if n + sizes[names[i]] > limit and kept:
                break
            kept.add(names[i])
            n += sizes[names[i]]
        return [e for e in side if e.group in kept]

    def untrained(self, reason: str) -> TaskResult:
        """A task nothing was trained for: the reason, and what the baselines say."""
        test = self.side("test")
        majority = majority_accuracy(self.side("train"), test, self.contract)
        n_groups = len({e.group for e in self.side("calibration")})
        return TaskResult(
            task_id=self.task.id,
            refused=reason or "no specialist was trained for this task",
            rungs=self._baseline_rows(majority),
            extra={"n_calibration_groups": n_groups, "units_needed": self._needed()},
        )

    def evaluate(self, specialists: Sequence[Specialist]) -> TaskResult:
        rungs = in_order_of_cost(specialists, self.selected.plan.get(self.task.id, ()))
        dev_calls = self.side("dev", self.limits.dev)
        if not dev_calls:
            return self.untrained("no dev call of this task, so no threshold could be proposed")
        predictors = [self.load(self.home / s.path) for s in rungs]
        dev_calls = self._affordable_dev(predictors, dev_calls)
        dev = [
            self._measure(p, dev_calls, f"dev, {s.method}") for p, s in zip(predictors, rungs, strict=True)
        ]
        choice = choose(rungs, dev, self.config.epsilon)
        if self.left_s is not None and not any(m.right_N.any() for m in dev):
            tried = " and ".join(s.method for s in rungs)
            return self.untrained(
                f"{tried}: not one of {len(dev_calls)} dev calls was answered as the LLM did, so no calibration call was "
                f"spent on it; more time (minutes) or more examples may change that"
            )
        grid = cert.threshold_grid(dev[choice.index].confidence_N)

        n_cal, n_test = self._affordable(dev, choice)
        calibration = self._measure(
            predictors[choice.index],
            self._calibration_calls(n_cal),
            f"calibration, {rungs[choice.index].method}",
        )
        units = cert.draw_units(calibration.groups, self._unit_seed())
        at = {e: self._certify(calibration, units, grid, e) for e in sorted({*EPSILONS, self.config.epsilon})}

        # from here on nothing is decided any more, only shown
        test_calls = self.side("test", n_test)
        test = [
            self._measure(p, test_calls, f"held out, {s.method}")
            for p, s in zip(predictors, rungs, strict=True)
        ]
        return self._result(rungs, choice, dev, calibration, test, test_calls, at, grid)

    def _affordable_dev(self, predictors: Sequence[Predictor], dev_calls: list[Example]) -> list[Example]:
        """The dev calls that a third of the time left allows, by the speed on a few of them; all where it is not known."""
        if self.left_s is None or len(dev_calls) <= MIN_DEV:
            return dev_calls
        began = self.clock()
        for predictor in predictors:
            predictor.predict([e.request for e in dev_calls[:SPEED_SAMPLE]])
        seconds_per_call = max(1e-9, (self.clock() - began) / SPEED_SAMPLE)
        return self.side("dev", max(MIN_DEV, int(self.left_s / 3 / seconds_per_call)))

    def _unit_seed(self) -> int:
        return cert.seed_of(self.config.seed, "units", self.task.id)

    def _calibration_calls(self, n_affordable: int) -> list[Example]:
        """The calibration side; where it cannot all be asked for, one random call of each group.

        A certificate rests on one call per group anyway; the others only smooth the share that is reported. The draw
        is made before any answer is seen.
        """
        side = self.side("calibration", self.limits.calibration)
        if n_affordable >= len(side):
            return side
        units = cert.draw_units([e.group for e in side], self._unit_seed())
        return [side[i] for i in units[:n_affordable]]

    def _measure(self, predictor: Predictor, examples: Sequence[Example], what: str) -> Measured:
        label = f"{self.task.name}: {what}"
        return measure(
            predictor, examples, self.contract, self.prices, clock=self.clock,
            on_chunk=lambda done: self.progress(label, done, len(examples)),
        )  # fmt: skip

    def _needed(self) -> int:
        return cert.units_needed(self.config.epsilon, self.config.delta)

    def _affordable(self, dev: Sequence[Measured], choice: Choice) -> tuple[int, int]:
        """How many calibration and test calls the time left allows, by the speed seen on dev."""
        if self.left_s is None:
            return self.limits.calibration, self.limits.test
        all_rungs_s = sum(m.seconds_per_call for m in dev) or 1e-9
        chosen_s = dev[choice.index].seconds_per_call or 1e-9
        # calibration first: without it there is no certificate, while fewer test calls only widen an interval
        n_cal = min(self.limits.calibration, max(self._needed() * 2, int(0.6 * self.left_s / chosen_s)))
        n_test = min(self.limits.test, max(100, int(0.4 * self.left_s / all_rungs_s)))
        return n_cal, n_test

    def _certify(
        self, calibration: Measured, units: NDArray[np.int64], grid: cert.Floats, epsilon: float
    ) -> _Attempt:
        drawn = calibration.take(units)
        n_twins = int(np.isfinite(drawn.twin_loss_N).sum())
        twins = n_twins >= MIN_TWINS * max(1, len(drawn))
        verdict = cert.certify(
            "G2t" if twins else "G2", drawn.confidence_N, ~drawn.right_N, grid, epsilon, self.config.delta,
            # a call without a second answer counts the LLM as agreeing with itself, which can only make the claim harder
            llm_loss_N=np.nan_to_num(drawn.twin_loss_N, nan=0.0) if twins else None,
        )  # fmt: skip
        share_L = [calibration.share_served(t) for t in verdict.thresholds_L]
        llm_usd = float(calibration.llm_usd_N.mean()) if len(calibration) else 0.0
        own_usd = self.prices.specialist_usd(calibration.seconds_per_call, 1)
        index = cert.cheapest(verdict, share_L, own_usd, llm_usd)
        share = share_L[index] if index is not None else 0.0
        reason = ""
        if index is None or verdict.n_units == 0:
            reason = cert.refusal(verdict)
        elif share < MIN_SHARE:
            # a threshold at which nothing is served is safe and useless; the next laxer one says why it stops there
            stopped = min(verdict.n_passed, verdict.thresholds_L.size - 1)
            reason = (
                f"only {share:.1%} of the calls could be served at a loss of {epsilon:g}: at the next threshold "
                f"{int(verdict.n_errors_L[stopped])} of {int(verdict.n_served_L[stopped])} served calls differed from the LLM"
            )
        return _Attempt(verdict, None if reason else index, share if not reason else 0.0, reason, n_twins)

    def _result(
        self, rungs: Sequence[Specialist], choice: Choice, dev: Sequence[Measured], calibration: Measured,
        test: Sequence[Measured], test_calls: Sequence[Example], at: dict[float, _Attempt], grid: cert.Floats,
    ) -> TaskResult:  # fmt: skip
        chosen, shown, attempt = rungs[choice.index], test[choice.index], at[self.config.epsilon]
        mixed = self.contract.may_leave
        majority = majority_accuracy(self.side("train"), test_calls, self.contract)
        certificate = held_out = None
        extra: dict[str, Any] = {
            "chosen_because": choice.reason,
            "mixed": mixed,
            "n_dev": len(dev[0]),
            "n_calibration_calls": len(calibration),
            "n_calibration_groups": attempt.verdict.n_units,
            "units_needed": self._needed(),
            "n_twins": attempt.n_twins,
            "seconds_per_call": shown.seconds_per_call or calibration.seconds_per_call,
            "action_accuracy": shown.action_accuracy if self.contract.kind == "tool_call" else None,
            "llm_self_agreement": _self_agreement(calibration, shown),
            "at_epsilon": [self._at_row(e, a, calibration, shown) for e, a in sorted(at.items())],
        }
        if attempt.index is not None:
            threshold = float(attempt.verdict.thresholds_L[attempt.index])
            certificate = self._certificate(attempt, threshold, mixed)
            held_out, more = self._held_out(shown, threshold, attempt.verdict.kind)
            extra |= more
        return TaskResult(
            task_id=self.task.id,
            chosen=chosen.id,
            certificate=certificate,
            test=TestScore(
                n_calls=len(shown), n_episodes=len(set(shown.episodes)), majority_accuracy=majority,
                base_accuracy=self._base_accuracy(chosen), tuned_accuracy=shown.accuracy,
                tuned_interval=proportion_interval(shown.right_N, shown.groups) if len(shown) else None,
            ) if len(shown) else None,
            held_out=held_out,
            refused=self._refusal(attempt, shown, chosen),
            rungs=[*self._baseline_rows(majority), *self._rung_rows(rungs, choice, dev, test)],
            curve=curve(
                shown.confidence_N, shown.loss_N, shown.groups, grid, shown.counts_N, seed=self.config.seed
            ) if len(shown) else [],
            extra=extra,
        )  # fmt: skip

    def _certificate(self, attempt: _Attempt, threshold: float, mixed: bool) -> Certificate:
        verdict, index = attempt.verdict, attempt.index
        assert index is not None
        name = f"{self.task.id}-{verdict.kind}-{self.config.epsilon:g}-{self.config.delta:g}"
        return Certificate(
            id=f"{name}-{cert.seed_of(self.config.seed, name, f'{threshold!r}') % 16**6:06x}",
            kind=verdict.kind, epsilon=verdict.epsilon, delta=verdict.delta, n_calibration=verdict.n_units,
            threshold=threshold, share_served=attempt.share, p_value=float(verdict.p_values_L[index]),
            label_source="agreement", claim=cert.claim(verdict, index, mixed=mixed, n_twins=attempt.n_twins),
            n_served=int(verdict.n_served_L[index]), n_errors=int(verdict.n_errors_L[index]),
        )  # fmt: skip

    def _held_out(
        self, shown: Measured, threshold: float, kind: str
    ) -> tuple[HeldOut | None, dict[str, Any]]:
        """The route as it would have run on test, and the sums that the totals of the report are made of."""
        if not len(shown):
            return None, {}
        served_N = shown.confidence_N >= threshold
        # what is certified is what is measured: against the LLM's own disagreement only where G2t was tested
        twin_loss_N = np.nan_to_num(shown.twin_loss_N, nan=0.0) if kind == "G2t" else 0.0
        difference_N = served_N * (shown.loss_N - twin_loss_N)
        counted = served_N & shown.counts_N
        spent = float(shown.llm_usd_N[shown.counts_N].sum())
        groups: dict[str, list[float]] = {}
        for group, counts, lost in zip(shown.groups, shown.counts_N, difference_N, strict=True):
            row = groups.setdefault(group, [0.0, 0.0])
            row[0] += float(counts)
            row[1] += float(lost)
        held_out = HeldOut(
            n_calls=len(shown),
            share_served=shown.share_served(threshold),
            loss_difference=float(difference_N.mean()),
            loss_difference_interval=difference_interval(difference_N, shown.groups, seed=self.config.seed),
        )
        n_served, n_counts = int(served_N.sum()), int(shown.counts_N.sum())
        return held_out, {
            "held_out_groups": groups,
            "n_held_out_non_hci": n_counts,
            "n_held_out_served": n_served,
            "agreement_of_served": float(shown.right_N[served_N].mean()) if n_served else None,
            "errors_on_calls_for_people": int((served_N & ~shown.counts_N).sum()),
            "share_of_cost_served": float(shown.llm_usd_N[counted].sum()) / spent
            if spent
            else shown.share_served(threshold),
        }

    def _refusal(self, attempt: _Attempt, shown: Measured, chosen: Specialist) -> str:
        if attempt.index is not None:
            return ""
        sentence = attempt.reason[0].upper() + attempt.reason[1:] + "."
        if not len(shown):
            return sentence
        share = shown.servable(self.config.epsilon)
        return (
            f"{sentence} On {len(shown)} held-out calls the {chosen.method} specialist agreed with the LLM on "
            f"{shown.accuracy:.0%}; with hindsight {share:.0%} of the non-HCI calls could have been served at a loss of "
            f"{self.config.epsilon:g}."
        )

    def _base_accuracy(self, chosen: Specialist) -> float | None:
        """The untuned base model's accuracy in S4's probe; None where it was not probed."""
        probed = [
            c for c in self.selected.candidates.get(self.task.id, [])
            if c.probe_accuracy is not None and c.n_probe >= MIN_PROBE and c.method in ("", "base prompt", "few-shot")
        ]  # fmt: skip
        same = [c for c in probed if c.model == chosen.model]
        return max((c.probe_accuracy for c in same or probed if c.probe_accuracy is not None), default=None)

    def _baseline_rows(self, majority: float | None) -> list[dict[str, Any]]:
        """Rows of the rung table that were probed, not trained: every table shows them beside the specialist."""
        rows: list[dict[str, Any]] = [
            {"method": "majority", "model": "", "test_accuracy": majority, "trained": False}
        ]
        rows += [
            {
                "method": f"probe: {c.method or 'as it is'}", "model": c.model, "probe_accuracy": c.probe_accuracy,
                "n_probe": c.n_probe, "trained": False,
            }
            for c in self.selected.candidates.get(self.task.id, [])
            if c.probe_accuracy is not None and c.method != "majority"
        ]  # fmt: skip
        return rows

    def _rung_rows(
        self, rungs: Sequence[Specialist], choice: Choice, dev: Sequence[Measured], test: Sequence[Measured]
    ) -> list[dict[str, Any]]:
        return [
            {
                "method": s.method,
                "model": s.model,
                "trained": True,
                "chosen": i == choice.index,
                "n_train": s.n_train,
                "train_s": s.train_s,
                "dev_accuracy": dev[i].accuracy,
                "dev_servable": choice.scores[i],
                "test_accuracy": test[i].accuracy,
                "test_interval": proportion_interval(test[i].right_N, test[i].groups)
                if len(test[i])
                else None,
                "action_accuracy": test[i].action_accuracy if self.contract.kind == "tool_call" else None,
                "coverage": {f"{e:g}": test[i].servable(e) for e in EPSILONS},
                "seconds_per_call": test[i].seconds_per_call or dev[i].seconds_per_call,
            }
            for i, s in enumerate(rungs)
        ]

    def _at_row(
        self, epsilon: float, attempt: _Attempt, calibration: Measured, shown: Measured
    ) -> dict[str, Any]:
        """What could be claimed at one epsilon: each row is a test of its own at delta."""
        unseen_confidence = np.concatenate([calibration.confidence_N, shown.confidence_N])
        unseen_share, _ = coverage_at(
            unseen_confidence,
            np.concatenate([calibration.loss_N, shown.loss_N]),
            epsilon,
            np.concatenate([calibration.counts_N, shown.counts_N]),
        )
        verdict, index = attempt.verdict, attempt.index
        threshold = None if index is None else float(verdict.thresholds_L[index])
        served_N = shown.confidence_N >= (np.inf if threshold is None else threshold)
        return {
            "epsilon": epsilon,
            "certified": index is not None,
            "threshold": threshold,
            "p_value": None if index is None else float(verdict.p_values_L[index]),
            "share_certified": attempt.share,
            "share_held_out": shown.share_served(threshold) if threshold is not None else 0.0,
            "loss_held_out": float((served_N * shown.loss_N).mean()) if len(shown) else None,
            "share_hindsight": shown.servable(epsilon),
            "share_hindsight_unseen": unseen_share,
            "n_units": verdict.n_units,
            "units_needed": cert.units_needed(epsilon, self.config.delta),
            "reason": attempt.reason,
        }


@dataclass(frozen=True)
class _Attempt:
    """A certificate tried at one epsilon."""

    verdict: cert.Verdict
    index: int | None
    share: float
    reason: str
    n_twins: int


def _self_agreement(*sets: Measured) -> dict[str, float] | None:
    """How often the LLM's other answers to a request equal the recorded one, where it was asked more than once."""
    loss = np.concatenate([m.twin_loss_N for m in sets])
    known = loss[np.isfinite(loss)]
    return {"agreement": float(1 - known.mean()), "n_calls": float(known.size)} if known.size else None
