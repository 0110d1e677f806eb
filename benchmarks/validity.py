"""How often the certificates of the real evaluation are false, over random calibration sets.

On recorded logs the unseen calls of a task are the population: calibration and held-out groups are drawn from them with
replacement, the real evaluation runs, and the true loss of the threshold that it certifies is that on all of them. On
simulated logs the truth is known from how they are made (benchmarks.simulated_traffic).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import simulated_cascade, simulated_traffic
from benchmarks.recorded_tasks import Preparation, RecordedTask, recorded_tasks
from deputize.core.config import Convert
from deputize.core.errors import DeputizeError
from deputize.core.task_results import TaskResult
from deputize.scoring import certificates as cert
from deputize.scoring.intervals import coverage_at

DATA = Path(__file__).resolve().parents[1] / "../shared/data"
CONFIG = Convert(methods=("linear",), epsilon=0.05, delta=0.05, minutes=20)
LOGS: dict[str, tuple[Preparation, Convert]] = {
    "intent_clinc150": (Preparation(), CONFIG),
    # more calls are kept out of training than the claims need: they are the population that is drawn from
    "intent_clinc150 linear+frozen": (
        Preparation(methods=("linear+frozen",)),
        CONFIG.model_copy(update={"methods": ("linear", "frozen"), "split": (0.45, 0.10, 0.07, 0.38)}),
    ),
    # half of 4,000 calls to learn from, one conversion for all; a specialist that leaks is measured too
    "intent_clinc150 every method": (
        Preparation(
            methods=(
                "linear",
                "frozen",
                "linear+frozen",
                "linear+frozen+frozen_base",
                "encoder",
                "lora_from_head",
                "linear+lora_from_head",
            ),
            most=4000,
        ),
        CONFIG.model_copy(
            update={
                "methods": ("linear", "frozen", "frozen_base", "encoder", "lora_from_head"),
                "split": (0.45, 0.08, 0.12, 0.35),
                "minutes": 40,
                "explore": True,
            }
        ),
    ),
    # a LoRA needs most of the time of a conversion, so it has one of its own, on fewer calls
    "intent_clinc150 lora_from_head": (
        Preparation(methods=("lora_from_head", "linear+lora_from_head"), most=1200),
        CONFIG.model_copy(
            update={
                "methods": ("linear", "lora_from_head"),
                "split": (0.45, 0.08, 0.12, 0.35),
                "minutes": 20,
                "explore": True,
            }
        ),
    ),
    # logit_bias makes every one of these calls the LLM's own; the labels are what is to be learned
    "tweeteval_sentiment_gpt35": (Preparation(audience="code", without=("params",)), CONFIG),
    # a survey and a question of yes or no, asked one snapshot of a model; the agent parses the letter or word out of
    # the reply
    "drift_opinionqa_prime": (Preparation(audience="code", model="gpt-4-0314", parsed="answer"), CONFIG),
    # a person reads the reasoning of a verdict, code reads the verdict
    "haiku_gateway_log": (
        Preparation(free_field="reasoning"),
        CONFIG.model_copy(update={"methods": ("lora",), "minutes": 15}),
    ),
}
"""Recorded logs with a task of enough independent groups."""


@dataclass
class Outcomes:
    """What became of one claim over many draws."""

    n: int = 0
    shares: list[float] = field(default_factory=list)
    """Share served, of the draws with a certificate."""
    losses: list[float] = field(default_factory=list)
    """True loss, of the same."""

    def add(self, threshold: float | None, share: float, loss: float) -> None:
        """Counts one draw; a threshold of None is a refusal."""
        self.n += 1
        if threshold is not None:
            self.shares.append(share)
            self.losses.append(loss)

    def row(self, epsilon: float, delta: float) -> dict[str, Any]:
        """One line of a table."""
        losses = np.array(self.losses)
        return {
            "epsilon": epsilon,
            "delta": delta,
            "draws": self.n,
            "certified": len(self.losses) / max(1, self.n),
            "served": float(np.mean(self.shares)) if self.shares else 0.0,
            "mean loss": float(losses.mean()) if losses.size else 0.0,
            "violations": float((losses > epsilon).sum()) / max(1, self.n),
        }


def recorded_rows(names: Sequence[str], n_draws: int, seed: int) -> list[dict[str, Any]]:
    """One row for each log, task and epsilon; logs that are not here are named and left out."""
    out = []
    for name in names:
        path = DATA / f"{name.split()[0]}.jsonl.gz"
        if not path.exists():
            print(f"{name} is not here: the recorded logs lie next to the repository, in ../shared/data")
            continue
        preparation, config = LOGS[name]
        began = time.perf_counter()
        try:
            tasks = recorded_tasks(path, config, preparation)
        except DeputizeError as error:
            print(f"{name}: {error}")
            continue
        print(
            f"{name}: {len(tasks)} task(s) with enough groups, {time.perf_counter() - began:.0f} s",
            flush=True,
        )
        for task in tasks:
            out += _task_rows(name, task, config, n_draws, seed)
    return out


def _task_rows(
    name: str, task: RecordedTask, config: Convert, n_draws: int, seed: int
) -> list[dict[str, Any]]:
    outcomes: dict[float, Outcomes] = {}
    served_outcomes = Outcomes()
    published = Outcomes()
    for draw in range(n_draws):
        result = task.evaluated(config, seed + draw)
        for one in result.by_epsilon:
            loss = task.loss(one.threshold) if one.threshold is not None else 0.0
            outcomes.setdefault(one.epsilon, Outcomes()).add(one.threshold, one.share_certified, loss)
        certificate = result.certificate
        threshold = certificate.threshold if certificate is not None and not result.refusal_reason else None
        share = certificate.share_served if certificate is not None else 0.0
        published.add(threshold, share, task.loss(threshold) if threshold is not None else 0.0)
        served_outcomes.add(threshold, share, task.served_loss(threshold) if threshold is not None else 0.0)
    head = {
        "log": name,
        "task": task.task.name[:40],
        "method": task.specialist.method,
        "groups": len(task.groups),
        "calls": task.n_calls,
        "accuracy": float(task.truth.right_N.mean()),
        "servable at .02": coverage_at(task.truth.confidence_N, ~task.truth.right_N, 0.02)[0],
    }
    limit = config.limit_among_served or 1.0
    return [
        *({**head, "claim": "all calls", **o.row(e, config.delta)} for e, o in sorted(outcomes.items())),
        {**head, "claim": "published", **published.row(config.epsilon, config.delta)},
        {**head, "claim": "the served", **served_outcomes.row(limit, config.delta)},
    ]


LABELLED: dict[str, tuple[Any, int, dict[str, Any]]] = {
    "labels of 4 in 10 calls, at random": (
        simulated_traffic.labelled,
        2500,
        {"reference": "labels", "labels_at_random": True},
    ),
    "the same, not taken for random": (simulated_traffic.labelled, 2500, {"reference": "labels"}),
    "the same, about the LLM's answers": (simulated_traffic.labelled, 2500, {}),
    "corrections of the LLM's errors alone": (simulated_traffic.corrected, 2500, {"reference": "labels"}),
    "the same, wrongly declared random": (
        simulated_traffic.corrected,
        2500,
        {"reference": "labels", "labels_at_random": True},
    ),
    "one label an episode, wrongly declared random": (
        simulated_traffic.one_label_an_episode,
        700,
        {"reference": "labels", "labels_at_random": True},
    ),
    "fewer where the LLM is right, wrongly declared random": (
        simulated_traffic.one_sided_labels,
        2500,
        {"reference": "labels", "labels_at_random": True},
    ),
}
"""Traffic with right answers -> (simulation, its size, settings). The last three are declared what they are not."""


def labelled_rows(n_draws: int, seed: int) -> list[dict[str, Any]]:
    """One row for each kind of labels and epsilon; the true loss is that beyond the LLM's, by right answers."""
    out = []
    for name, (make, size, settings) in LABELLED.items():
        config = CONFIG.model_copy(update=settings)
        rows = _outcomes_of_simulations(make, size, config, n_draws, seed)
        out += [{"labels (simulated)": name, **o.row(e, config.delta)} for e, o in sorted(rows.items())]
        print(f"{name}: {n_draws} logs", flush=True)
    return out


def _outcomes_of_simulations(
    make: Any, size: int, config: Convert, n_draws: int, seed: int
) -> dict[float, Outcomes]:
    outcomes: dict[float, Outcomes] = {}
    for draw in range(n_draws):
        traffic = make(np.random.default_rng([seed, draw]), size)
        result: TaskResult = simulated_traffic.evaluated(
            traffic, config.model_copy(update={"seed": seed + draw})
        )
        for one in result.by_epsilon:
            loss = traffic.loss(one.threshold) if one.threshold is not None else 0.0
            outcomes.setdefault(one.epsilon, Outcomes()).add(one.threshold, one.share_certified, loss)
    return outcomes


EPISODES: tuple[tuple[int, int, float], ...] = (
    (300, 6, 0.0),
    (300, 6, 0.3),
    (300, 6, 1.0),
    (300, 12, 0.3),
    (600, 3, 0.3),
    (600, 6, 0.3),
)
"""(episodes of the log, calls of each, part of the calls that is like its episode)."""


def episode_rows(n_draws: int, seed: int) -> list[dict[str, Any]]:
    """For each kind of long episodes what the evaluation certifies, beside one call of each episode on the same
    calibration calls."""
    out = []
    for n, size, alike in EPISODES:
        used, one_call, n_whole, n_units = Outcomes(), Outcomes(), 0, 0
        for draw in range(n_draws):
            traffic = simulated_traffic.long_episodes(np.random.default_rng([seed, draw]), n, size, alike)
            result = simulated_traffic.evaluated(traffic, CONFIG.model_copy(update={"seed": seed + draw}))
            found = result.certificate
            if found is None:
                used.add(None, 0.0, 0.0)
            else:
                n_whole += found.episodes is not None
                used.add(found.threshold, found.share_served, traffic.loss(found.threshold))
            threshold, share = _by_one_call(traffic, result, seed + draw)
            one_call.add(threshold, share, traffic.loss(threshold) if threshold is not None else 0.0)
            n_units += result.evaluation.n_calibration_groups
        head = {"episodes": n, "calls of each": size, "alike": alike, "in calibration": n_units / n_draws}
        for name, of in (("as evaluated", used), ("one call of each", one_call)):
            whole = n_whole / n_draws if of is used else None
            out.append({**head, "test": name, "whole": whole, **of.row(CONFIG.epsilon, CONFIG.delta)})
        print(f"{n} episodes of {size} calls: {n_draws} logs", flush=True)
    return out


def _by_one_call(
    traffic: simulated_traffic.Traffic, result: TaskResult, seed: int
) -> tuple[float | None, float]:
    """(threshold, share served) by the exact test on the same calibration calls; no threshold where nothing passes."""
    asked = result.calibration
    if not asked or result.delta_spending is None:
        return None, 0.0
    episode_of = {call.id: call.episode for call in traffic.calls}
    confidence = np.array([-np.inf if c.confidence is None else c.confidence for c in asked])
    wrong = np.array([not c.right for c in asked])
    groups = [episode_of[c.call_id.removeprefix("t0-")] for c in asked]
    largest = max(Counter(groups).values())
    units = cert.draw_calls(groups, largest, seed)
    made = cert.certify(
        "not_worse_than_llm",
        confidence[units],
        wrong[units],
        cert.every_threshold(confidence[units]),
        CONFIG.epsilon,
        result.delta_spending.test_level,
        served_limit=CONFIG.limit_among_served,
    )
    if not made.n_passed:
        return None, 0.0
    threshold = float(made.thresholds_L[made.n_passed - 1])
    return threshold, float((confidence >= threshold).mean())


def simulated_rows(n_draws: int, seed: int) -> list[dict[str, Any]]:
    """One row for each kind of traffic and epsilon; every draw is a new log."""
    out = []
    kinds = {**simulated_traffic.KINDS, "a cascade of three": (simulated_cascade.three_voters, 1500)}
    for name, (make, size) in kinds.items():
        outcomes = _outcomes_of_simulations(make, size, CONFIG, n_draws, seed)
        out += [{"traffic (simulated)": name, **o.row(e, CONFIG.delta)} for e, o in sorted(outcomes.items())]
        print(f"{name}: {n_draws} logs", flush=True)
    return out
