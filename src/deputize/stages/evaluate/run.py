"""S6: every task's rungs are compared on dev, one is certified on calibration, all are shown on held-out episodes.

The order of looks is the point: dev fixes the rung and the grid of thresholds, calibration labels are seen once for
that rung, test labels only afterwards.

Time is the other point: every reading stops at its limit. How many calibration units are tested is fixed by the speed
seen on dev, before one of them is answered; a unit that time does not allow to be read then counts as a served error.
So a certificate does not depend on when the reading stopped, although what takes long may well be what is wrong.
What decides a route is read for all tasks first; dearer rungs that could not change the choice are shown beside it with
the time that is left.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

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
from deputize.core.records import Certificate, Contract, Example, Prediction, Task
from deputize.scoring import certificates as cert
from deputize.scoring.costs import Prices, load_prices
from deputize.scoring.intervals import coverage_at, curve, difference_interval, proportion_interval
from deputize.specialists.base import Predictor, without_free_text
from deputize.stages.evaluate.evaluation import Evaluation, compare, majority_accuracy
from deputize.stages.evaluate.select_method import MethodChoice, choose, dev_score, in_order_of_cost, settled
from deputize.stages.evaluate.timed_predictor import FIRST, TimedPredictor

EPSILONS: tuple[float, ...] = (0.01, 0.02, 0.05, 0.10)
"""Losses the report shows beside the one asked for."""
MIN_SHARE = 0.05
"""A certificate that would serve less than this of the calls is not worth a route: every call waits for the specialist."""
MIN_PROBE = 4
"""Probed calls from which the untuned model's accuracy is worth a figure."""
MIN_REPEATED = 0.2
"""Share of calibration units with a second LLM answer from which "not_worse_than_repeats" is tested."""
DEV_SHARE, CALIBRATION_SHARE, MOST_CALIBRATION = 0.3, 0.6, 0.85
"""Parts of a task's time for dev and, of what is left then, for calibration: more where it would not be enough."""
ENOUGH = 200
"""Dev and test calls that a task is given time for first."""
QUICK_S = 3.0
"""A rung that reads all of dev in less is read at once: it may settle the choice."""


def run(
    curated: Curated,
    discovered: Discovered,
    selected: Selected,
    finetuned: Finetuned,
    config: Convert,
    *,
    home: Path,
    load: Callable[[Path], Predictor],
    progress: Progress = silent,
    deadline_s: float | None = None,
    clock: Callable[[], float] = time.perf_counter,
) -> list[TaskResult]:
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
        deadline_s: seconds that reading may take in all, overrun by one chunk of calls at most; None: every call of
            dev, calibration and test is read.
        clock: seconds, for measured speed.
    """
    prices = load_prices(home)
    until = math.inf if deadline_s is None else clock() + deadline_s
    calls: dict[str, list[Example]] = {task.id: [] for task in discovered.tasks}
    for example in curated.examples:
        if (task_id := discovered.assignment.get(example.call_id, "")) in calls:
            calls[task_id].append(example)
    results: dict[str, TaskResult] = {}
    waiting: list[_Job] = []
    leaks: dict[str, str] = {}
    for task in discovered.tasks:
        mine = [s for s in finetuned.specialists if s.task_id == task.id]
        # one that gives planted secrets away is not measured: no figure of its makes up for that
        trained = [s for s in mine if s.leak is None or not s.leak.leaks]
        leaks[task.id] = "; ".join(
            f"{s.method} leaks: {s.leak.reason}" for s in mine if s.leak and s.leak.leaks
        )
        rungs = in_order_of_cost(trained, selected.plan.get(task.id, ()))
        job = _Job(task, calls[task.id], config, selected, home, progress, prices, clock, rungs)
        if rungs:
            job.look(load, until)
            waiting.append(job)
        else:
            refused = leaks[task.id] or finetuned.refused.get(task.id) or selected.refused.get(task.id) or ""
            results[task.id] = job.untrained(refused)
    # small needs first, so that what they leave falls to larger ones; last those that cannot be certified at all
    waiting.sort(key=lambda job: (not job.certifiable, job.needs_s(), job.task.id))
    for at, job in enumerate(waiting):
        needs = [j.needs_s() for j in waiting[at:]]
        left_s = max(0.0, until - clock())
        part = needs[0] / sum(needs) if sum(needs) else 1 / len(needs)
        job.decide(until if math.isinf(until) else clock() + min(left_s, max(needs[0], part * left_s)))
    for at, job in enumerate(waiting):
        left_s = max(0.0, until - clock())
        job.show(load, until if math.isinf(until) else clock() + left_s / (len(waiting) - at))
        results[job.task.id] = job.result()
    return [_noted(results[task.id], leaks[task.id]) for task in discovered.tasks]


def _noted(result: TaskResult, leaks: str) -> TaskResult:
    """The result with what was found of specialists that leak, also where another one serves."""
    return msgspec.structs.replace(result, extra={**result.extra, "leaks": leaks}) if leaks else result


@dataclass
class _Job:
    """One task on its way through S6."""

    task: Task
    calls: list[Example]
    config: Convert
    selected: Selected
    home: Path
    progress: Progress
    prices: Prices
    clock: Callable[[], float]
    rungs: list[Specialist]
    """From the cheapest to the dearest; once looked at, those that the choice is made from."""
    beside: list[Specialist] = field(default_factory=list)
    """Dearer ones that cannot be chosen any more; read for the report once they are shown."""
    readers: list[TimedPredictor] = field(default_factory=list)
    """One per rung, without text that is not compared where it need not be written."""
    whole: list[Predictor] = field(default_factory=list)
    """One per rung, writing answers in full."""
    dev_read: list[list[Prediction]] = field(default_factory=list)
    """Per rung its answers to the first calls of dev."""
    decided: _Decided | TaskResult | None = None
    sides: dict[str, list[Example]] = field(default_factory=dict)
    """What `side` has worked out already."""

    @property
    def contract(self) -> Contract:
        return self.task.contract

    def side(self, split: str) -> list[Example]:
        """The calls on one side of the split: whole groups in a random order, so that any first part is a fair sample."""
        if split in self.sides:
            return self.sides[split]
        side = sorted((e for e in self.calls if e.split == split), key=lambda e: e.call_id)
        members: dict[str, list[Example]] = {}
        for example in side:
            members.setdefault(example.group, []).append(example)
        names = sorted(members)
        rng = np.random.default_rng(cert.seed_of(self.config.seed, "sample", split, self.task.id))
        self.sides[split] = [example for i in rng.permutation(len(names)) for example in members[names[i]]]
        return self.sides[split]

    def look(self, load: Callable[[Path], Predictor], until: float) -> None:
        """Loads the rungs and asks each a few dev calls, to know how fast it is; stops where a quick one settles it."""
        for at, specialist in enumerate(self.rungs):
            reader = self._add_reader(specialist, load)
            self._read_dev(at, until, FIRST)
            n_dev = len(self.side("validation"))
            if self.dev_read[at] and reader.affordable(QUICK_S) >= n_dev:
                self._read_dev(at, until)
                if len(self.dev_read[at]) == n_dev and settled(self._dev_of(at), self.config.epsilon):
                    self.rungs, self.beside = self.rungs[: at + 1], self.rungs[at + 1 :]
                    break

    def _add_reader(self, specialist: Specialist, load: Callable[[Path], Predictor]) -> TimedPredictor:
        # free text is not compared, so it need not be written to be scored; where the LLM's own repeated samples are
        # subtracted a call that is not finished in time counts, so there it is
        whole = load(self.home / specialist.path)
        short = whole if any(e.repeated_responses for e in self.calls) else without_free_text(whole)
        self.whole.append(whole)
        self.readers.append(TimedPredictor(short, self.clock))
        self.dev_read.append([])
        return self.readers[-1]

    def _read_dev(self, at: int, until: float, most: int | None = None) -> None:
        """The rung at `at` answers dev calls that it has not answered yet, as many as fit, at most the first `most`."""
        done, dev_calls = self.dev_read[at], self.side("validation")
        label = f"{self.task.name}: dev, {self.rungs[at].method}"
        asked = [e.request for e in dev_calls[len(done) : most]]
        done += self.readers[at].read(asked, until, self._told(label, len(done), len(dev_calls)))

    def _dev_of(self, at: int) -> Evaluation:
        read = self.dev_read[at]
        seconds = self.readers[at].seconds_per_call * len(read)
        return compare(read, self.side("validation"), self.contract, self.prices, seconds)

    @property
    def certifiable(self) -> bool:
        """Whether there are independent calibration groups enough for the claim, were no answer wrong."""
        return self._n_groups() >= self._needed()

    def _n_groups(self) -> int:
        return len({e.group for e in self.calls if e.split == "calibration"})

    def needs_s(self) -> float:
        """Seconds for enough dev, calibration and test calls to decide the route, by the speed seen so far."""
        n = {name: sum(e.split == name for e in self.calls) for name in ("validation", "test")}
        each = [reader.seconds_per_call for reader in self.readers]
        n_chosen = min(ENOUGH, n["test"]) + min(self._n_groups(), 3 * self._needed())
        return sum(each) * min(ENOUGH, n["validation"]) + max(each, default=0.0) * n_chosen

    def untrained(self, reason: str) -> TaskResult:
        """A task nothing was trained for: the reason, and what the baselines say."""
        majority = majority_accuracy(self.side("train"), self.side("test"), self.contract)
        return TaskResult(
            task_id=self.task.id,
            refused=reason or "no specialist was trained for this task",
            rungs=self._baseline_rows(majority),
            extra={"n_calibration_groups": self._n_groups(), "units_needed": self._needed()},
        )

    def decide(self, until: float) -> None:
        """Chooses and certifies, and reads held-out calls with what was chosen; begins nothing after `until`."""
        if not self.side("validation"):
            self.decided = self.untrained("no dev call of this task, so no threshold could be proposed")
            return
        self._read_all_dev(until)
        if not self.rungs:
            self.decided = self.untrained(
                "no time was left to ask the specialist anything: more minutes are needed"
            )
            return
        dev = [self._dev_of(at) for at in range(len(self.rungs))]
        # rungs are compared on the same calls
        n_common = np.arange(min(len(m) for m in dev))
        choice = choose(self.rungs, [m.take(n_common) for m in dev], self.config.epsilon)
        if not math.isinf(until) and not any(m.right_N.any() for m in dev):
            tried = " and ".join(s.method for s in self.rungs)
            self.decided = self.untrained(
                f"{tried}: not one of {max(len(m) for m in dev)} dev calls was answered as the LLM did, so no calibration "
                f"call was spent on it; more time (minutes) or more examples may change that"
            )
            return
        grid = cert.threshold_grid(dev[choice.index].confidence_N)
        left_s = until - self.clock()
        calibration, n_units, n_unread = self._read_calibration(choice.index, until)
        short = ""
        if n_units < self._n_groups():
            short = (
                f"; time allowed for {n_units} of {self._n_groups()} groups ({left_s:.0f} s were left for this task, and "
                f"{self.rungs[choice.index].method} takes {self.readers[choice.index].seconds_per_call:.2g} s a call)"
            )
        at = {
            e: self._certify(calibration, n_units, n_unread, grid, e, short)
            for e in sorted({*EPSILONS, self.config.epsilon})
        }
        # from here on nothing is decided any more, only shown
        whole = self._written_in_full(choice.index, until)
        shown = self._read_test(choice.index, until)
        self.decided = _Decided(
            choice, len(n_common), calibration, at, grid, n_unread, whole, {choice.index: shown}
        )

    def show(self, load: Callable[[Path], Predictor], until: float) -> None:
        """The other rungs, as far as time goes: what a dearer one would have done belongs in every table."""
        if not isinstance(self.decided, _Decided):
            return
        others = [at for at in range(len(self.rungs)) if at != self.decided.choice.index]
        for specialist in self.beside:
            others.append(len(self.rungs))
            self.rungs.append(specialist)
            self._add_reader(specialist, load)
        for n_done, at in enumerate(others):
            end = self._by(until, 1 / (len(others) - n_done))
            self._read_dev(at, self._by(end, DEV_SHARE))
            self.decided.test[at] = self._read_test(at, end)

    def _by(self, until: float, share: float) -> float:
        """The moment at which this share of the time until then has passed; endless where there is no limit."""
        return until if math.isinf(until) else self.clock() + share * max(0.0, until - self.clock())

    def _read_all_dev(self, until: float) -> None:
        """Each rung answers as much of dev as fits; a rung that there was no time to ask at all is out."""
        end = self._by(until, DEV_SHARE)
        for at in range(len(self.readers)):
            self._read_dev(at, self._by(end, 1 / (len(self.readers) - at)))
        asked = [at for at, done in enumerate(self.dev_read) if done]
        self.rungs = [self.rungs[at] for at in asked]
        self.readers = [self.readers[at] for at in asked]
        self.whole = [self.whole[at] for at in asked]
        self.dev_read = [self.dev_read[at] for at in asked]

    def _told(self, label: str, before: int, total: int) -> Callable[[int], None]:
        return lambda done: self.progress(label, before + done, total)

    def _read_calibration(self, index: int, until: float) -> tuple[Evaluation, int, int]:
        """Answers to calibration calls, units first; how many units are tested, and how many of them were not read.

        A certificate rests on one random call of each group. Which, in what order and how many is drawn and fixed before
        any answer is seen; the other calls of the side are read where all of them fit, to smooth the share reported.
        """
        side, reader = self.side("calibration"), self.readers[index]
        units = cert.draw_units(
            [e.group for e in side], cert.seed_of(self.config.seed, "units", self.task.id)
        )
        left_s = max(0.0, until - self.clock())
        planned = reader.affordable(CALIBRATION_SHARE * left_s)
        if planned < 2 * self._needed():
            planned = min(2 * self._needed(), reader.affordable(MOST_CALIBRATION * left_s))
        n_units = int(min(planned, len(units)))
        order = [*units[:n_units]]
        if planned >= len(side):
            drawn = set(units.tolist())
            order += [i for i in range(len(side)) if i not in drawn]
        calls = [side[i] for i in order]
        label = f"{self.task.name}: calibration, {self.rungs[index].method}"
        read = reader.read([e.request for e in calls], until, self._told(label, 0, len(calls)))
        if len(read) < len(calls):
            read = read[:n_units]
        measured = compare(read, calls, self.contract, self.prices, reader.seconds_per_call * len(read))
        return measured, n_units, max(0, n_units - len(read))

    def _read_test(self, at: int, until: float) -> Evaluation:
        """A rung on held-out calls, as many as fit."""
        calls, reader = self.side("test"), self.readers[at]
        label = f"{self.task.name}: held out, {self.rungs[at].method}"
        read = reader.read([e.request for e in calls], until, self._told(label, 0, len(calls)))
        return compare(read, calls, self.contract, self.prices, reader.seconds_per_call * len(read))

    def _written_in_full(self, index: int, until: float) -> dict[str, float] | None:
        """Of an answer with prose: seconds when all of it is written, and the share that is finished within its limit.

        What is not finished goes to the LLM, so the route serves a little less than was read, and errs no more.
        """
        free = any(f.type == "free" for f in self.contract.fields)
        if not free or self.whole[index] is self.readers[index].predictor:
            return None
        reader = TimedPredictor(self.whole[index], self.clock)
        answers = reader.read([e.request for e in self.side("validation")[: 3 * FIRST]], until)
        if not answers:
            return None
        finished = sum(a.answer is not None for a in answers) / len(answers)
        return {"n_calls": len(answers), "seconds_per_call": reader.seconds_per_call, "finished": finished}

    def _needed(self) -> int:
        return cert.units_needed(self.config.epsilon, self.config.delta)

    def _certify(
        self,
        calibration: Evaluation,
        n_units: int,
        n_unread: int,
        grid: cert.Floats,
        epsilon: float,
        short: str,
    ) -> _Attempt:
        drawn = calibration.take(np.arange(n_units - n_unread))
        n_repeated = int(np.isfinite(drawn.repeat_loss_N).sum())
        twins = n_repeated >= MIN_REPEATED * max(1, len(drawn))
        # what was to be tested and was not read counts as served and wrong
        confidence_N = np.append(drawn.confidence_N, np.full(n_unread, np.inf))
        wrong_N = np.append(~drawn.right_N, np.ones(n_unread, dtype=bool))
        # a call without a second answer counts the LLM as agreeing with itself, which can only make the claim harder
        llm_loss_N = np.append(np.nan_to_num(drawn.repeat_loss_N, nan=0.0), np.zeros(n_unread))
        verdict = cert.certify(
            "not_worse_than_repeats" if twins else "not_worse_than_llm",
            confidence_N,
            wrong_N,
            grid,
            epsilon,
            self.config.delta,
            llm_loss_N=llm_loss_N if twins else None,
        )
        share_L = [calibration.share_served(t) for t in verdict.thresholds_L]
        llm_usd = float(calibration.llm_usd_N.mean()) if len(calibration) else 0.0
        own_usd = self.prices.specialist_usd(calibration.seconds_per_call, 1)
        index = cert.cheapest(verdict, share_L, own_usd, llm_usd)
        share = share_L[index] if index is not None else 0.0
        reason = ""
        if index is None or verdict.n_units == 0:
            reason = cert.refusal(verdict) + short
        elif share < MIN_SHARE:
            # a threshold at which nothing is served is safe and useless; the next laxer one says why it stops there
            stopped = min(verdict.n_passed, verdict.thresholds_L.size - 1)
            reason = (
                f"only {share:.1%} of the calls could be served at a loss of {epsilon:g}: at the next threshold "
                f"{int(verdict.n_errors_L[stopped])} of {int(verdict.n_served_L[stopped])} served calls differed from the LLM"
            )
        return _Attempt(verdict, None if reason else index, share if not reason else 0.0, reason, n_repeated)

    def result(self) -> TaskResult:
        """What the report says of the task, once it is decided and shown."""
        if not isinstance(self.decided, _Decided):
            assert self.decided is not None
            return self.decided
        choice, calibration, at = self.decided.choice, self.decided.calibration, self.decided.at
        grid, n_unread, whole = self.decided.grid, self.decided.n_unread, self.decided.whole
        test_calls = self.side("test")
        chosen, shown = self.rungs[choice.index], self.decided.test[choice.index]
        attempt = at[self.config.epsilon]
        mixed = self.contract.may_defer
        majority = majority_accuracy(
            self.side("train"), test_calls[: len(shown)] or test_calls, self.contract
        )
        certificate = held_out = None
        extra: dict[str, Any] = {
            "chosen_because": choice.reason,
            "mixed": mixed,
            "n_dev": self.decided.n_dev,
            "n_calibration_calls": len(calibration),
            "n_calibration_groups": attempt.verdict.n_units,
            "n_calibration_unread": n_unread,
            "units_needed": self._needed(),
            "n_repeated": attempt.n_repeated,
            "seconds_per_call": whole["seconds_per_call"]
            if whole
            else self.readers[choice.index].seconds_per_call,
            "written_in_full": whole,
            "action_accuracy": shown.action_accuracy if self.contract.kind == "tool_call" else None,
            "llm_self_agreement": _self_agreement(calibration, shown),
            "at_epsilon": [self._at_row(e, a, calibration, shown) for e, a in sorted(at.items())],
        }
        if attempt.index is not None:
            threshold = float(attempt.verdict.thresholds_L[attempt.index])
            certificate = self._certificate(attempt, threshold, mixed, chosen, n_unread)
            held_out, more = self._held_out(shown, threshold, attempt.verdict.kind)
            extra |= more
        return TaskResult(
            task_id=self.task.id,
            chosen=chosen.id,
            certificate=certificate,
            test=TestScore(
                n_calls=len(shown),
                n_episodes=len(set(shown.episodes)),
                majority_accuracy=majority,
                base_accuracy=self._base_accuracy(chosen),
                tuned_accuracy=shown.accuracy,
                tuned_interval=proportion_interval(shown.right_N, shown.groups) if len(shown) else None,
            )
            if len(shown)
            else None,
            held_out=held_out,
            refused=self._refusal(attempt, shown, chosen),
            rungs=[*self._baseline_rows(majority), *self._rung_rows(choice, self.decided.test)],
            curve=curve(
                shown.confidence_N, shown.loss_N, shown.groups, grid, shown.counts_N, seed=self.config.seed
            )
            if len(shown)
            else [],
            extra=extra,
        )

    def _certificate(
        self, attempt: _Attempt, threshold: float, mixed: bool, chosen: Specialist, n_unread: int
    ) -> Certificate:
        verdict, index = attempt.verdict, attempt.index
        assert index is not None
        name = f"{self.task.id}-{verdict.kind}-{self.config.epsilon:g}-{self.config.delta:g}"
        # a specialist trained anew is another one: what was audited of the old says nothing of it
        sums = [f"{file}={digest}" for file, digest in sorted(chosen.checksums.items())]
        mark = cert.seed_of(self.config.seed, name, f"{threshold!r}", chosen.id, *sums)
        claim = cert.claim(verdict, index, mixed=mixed, n_repeated=attempt.n_repeated, n_unread=n_unread)
        return Certificate(
            id=f"{name}-{mark % 16**6:06x}",
            kind=verdict.kind,
            epsilon=verdict.epsilon,
            delta=verdict.delta,
            n_calibration=verdict.n_units,
            threshold=threshold,
            share_served=attempt.share,
            p_value=float(verdict.p_values_L[index]),
            label_source="agreement",
            claim=claim,
            n_served=int(verdict.n_served_L[index]),
            n_errors=int(verdict.n_errors_L[index]),
        )

    def _held_out(
        self, shown: Evaluation, threshold: float, kind: str
    ) -> tuple[HeldOut | None, dict[str, Any]]:
        """The route as it would have run on test, and the sums that the totals of the report are made of."""
        if not len(shown):
            return None, {}
        served_N = shown.confidence_N >= threshold
        # what is certified is what is measured: against the LLM's own disagreement only where that was tested
        repeat_loss_N = (
            np.nan_to_num(shown.repeat_loss_N, nan=0.0) if kind == "not_worse_than_repeats" else 0.0
        )
        difference_N = served_N * (shown.loss_N - repeat_loss_N)
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
            "n_held_out_code_calls": n_counts,
            "n_held_out_served": n_served,
            "agreement_of_served": float(shown.right_N[served_N].mean()) if n_served else None,
            "errors_on_calls_for_people": int((served_N & ~shown.counts_N).sum()),
            "share_of_cost_served": float(shown.llm_usd_N[counted].sum()) / spent
            if spent
            else shown.share_served(threshold),
        }

    def _refusal(self, attempt: _Attempt, shown: Evaluation, chosen: Specialist) -> str:
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
            c
            for c in self.selected.candidates.get(self.task.id, [])
            if c.probe_accuracy is not None
            and c.n_probe >= MIN_PROBE
            and c.method in ("", "base prompt", "few-shot")
        ]
        same = [c for c in probed if c.model == chosen.model]
        return max((c.probe_accuracy for c in same or probed if c.probe_accuracy is not None), default=None)

    def _baseline_rows(self, majority: float | None) -> list[dict[str, Any]]:
        """Rows of the rung table that were probed, not trained: every table shows them beside the specialist."""
        rows: list[dict[str, Any]] = [
            {"method": "majority", "model": "", "test_accuracy": majority, "trained": False}
        ]
        rows += [
            {
                "method": f"probe: {c.method or 'as it is'}",
                "model": c.model,
                "probe_accuracy": c.probe_accuracy if c.n_probe >= MIN_PROBE else None,
                "n_probe": c.n_probe,
                "trained": False,
            }
            for c in self.selected.candidates.get(self.task.id, [])
            if c.probe_accuracy is not None and c.method != "majority" and c.n_probe >= MIN_PROBE
        ]
        return rows

    def _rung_rows(self, choice: MethodChoice, test: dict[int, Evaluation]) -> list[dict[str, Any]]:
        """One row per trained rung; what there was no time to read is None."""
        rows = []
        for i, s in enumerate(self.rungs):
            dev, shown = self._dev_of(i), test[i]
            score = choice.scores[i] if i < len(choice.scores) else None
            if score is None and len(dev):
                score = dev_score(dev, self.config.epsilon)
            rows.append(
                {
                    "method": s.method,
                    "model": s.model,
                    "trained": True,
                    "chosen": i == choice.index,
                    "n_train": s.n_train,
                    "train_s": s.train_s,
                    "n_dev": len(dev),
                    "validation_accuracy": dev.accuracy,
                    "dev_servable": score,
                    "n_test": len(shown),
                    "test_accuracy": shown.accuracy,
                    "test_interval": proportion_interval(shown.right_N, shown.groups) if len(shown) else None,
                    "action_accuracy": shown.action_accuracy if self.contract.kind == "tool_call" else None,
                    "coverage": {f"{e:g}": shown.servable(e) if len(shown) else None for e in EPSILONS},
                    "seconds_per_call": self.readers[i].seconds_per_call or None,
                }
            )
        return rows

    def _at_row(
        self, epsilon: float, attempt: _Attempt, calibration: Evaluation, shown: Evaluation
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
class _Decided:
    """A task whose rung is chosen and tested; what follows is shown only."""

    choice: MethodChoice
    n_dev: int
    """Dev calls that the rungs were compared on."""
    calibration: Evaluation
    at: dict[float, _Attempt]
    """By epsilon."""
    grid: cert.Floats
    n_unread: int
    whole: dict[str, float] | None
    test: dict[int, Evaluation]
    """Held-out calls as far as read, by the number of the rung."""


@dataclass(frozen=True)
class _Attempt:
    """A certificate tried at one epsilon."""

    verdict: cert.SequenceTest
    index: int | None
    share: float
    reason: str
    n_repeated: int


def _self_agreement(*sets: Evaluation) -> dict[str, float] | None:
    """How often the LLM's other answers to a request equal the recorded one, where it was asked more than once."""
    loss = np.concatenate([m.repeat_loss_N for m in sets])
    known = loss[np.isfinite(loss)]
    return {"agreement": float(1 - known.mean()), "n_calls": float(known.size)} if known.size else None
