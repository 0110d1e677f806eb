"""Signals that could decide who answers, and rules that could set their threshold, on the same unseen calls.

The log is CLINC150 (human labels as the LLM's answers); the predictor is a linear one trained on part of it. This
compares signals (the predictor's confidence, RouteLLM's prompt-only classifier, k-NN over prompts, chance, an oracle)
and rules; the product itself is measured in `benchmarks.validity`.
"""

from __future__ import annotations

import gzip
import json
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import FeatureUnion

from benchmarks import table
from deputize.scoring import certificates as cert
from deputize.scoring.call_costs import CallCosts, expected_usd
from deputize.scoring.costs import load_prices
from deputize.scoring.intervals import coverage_at, curve

LOG = Path(__file__).resolve().parents[1] / "../shared/data/intent_clinc150.jsonl.gz"
TEACHER = "gpt-4o"
"""Whose list price an LLM call is counted at: the log's labels are human."""
OUT_OF_SCOPE = "oos"
EPSILONS = (0.01, 0.02, 0.05)
NEIGHBOURS = 10
PROBABILITY = "specialist's probability"


@dataclass(frozen=True)
class Pool:
    """Unseen calls: N of them, the specialist's outcome, and what each signal says of each."""

    wrong_N: NDArray[np.bool_]
    out_of_scope_N: NDArray[np.bool_]
    signals: dict[str, NDArray[np.float64]]
    grids: dict[str, NDArray[np.float64]]
    """Thresholds fixed on validation, one grid per signal."""
    llm_usd: float
    specialist_usd: float
    """Of one call, from measured seconds on one core."""
    accuracy: float


def read_log(path: Path) -> tuple[list[str], NDArray[Any], list[int]]:
    """Requests, answers, and the characters of each whole prompt."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    texts = [r["messages"][-1]["content"] for r in rows]
    n_chars = [sum(len(m["content"]) for m in r["messages"]) for r in rows]
    return texts, np.array([r["response"]["content"] for r in rows]), n_chars


def make_pool(
    path: Path, seed: int, n_train: int = 8000, n_router: int = 1500, n_validation: int = 1000
) -> Pool:
    """Learns the specialist on train and the prompt-only signals on calls it did not learn from."""
    texts, answers, n_chars = read_log(path)
    order = np.random.default_rng(seed).permutation(len(texts))
    train, router, validation, unseen = np.split(order, np.cumsum([n_train, n_router, n_validation]))
    features = FeatureUnion(
        [
            ("words", TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, max_features=20_000)),
            (
                "characters",
                TfidfVectorizer(
                    analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True, max_features=20_000
                ),
            ),
        ]
    )

    def of(indices: NDArray[np.int64]) -> Any:
        return features.transform([texts[i] for i in indices])

    x_train = features.fit_transform([texts[i] for i in train])
    with warnings.catch_warnings():
        # forty steps are enough for a predictor of this kind
        warnings.simplefilter("ignore", ConvergenceWarning)
        specialist = LogisticRegression(C=20, max_iter=40, tol=1e-3).fit(x_train, answers[train])

    def read(indices: NDArray[np.int64]) -> tuple[NDArray[np.bool_], dict[str, Any]]:
        x = of(indices)
        probability = specialist.predict_proba(x)
        wrong = specialist.classes_[probability.argmax(axis=1)] != answers[indices]
        top = np.sort(probability, axis=1)
        return wrong, {"confidence": top[:, -1], "margin": top[:, -1] - top[:, -2], "x": x}

    wrong_router, router_read = read(router)
    prompt_only = LogisticRegression(C=10, max_iter=300).fit(router_read["x"], ~wrong_router)
    known = router_read["x"]
    length = np.sqrt(np.asarray(known.multiply(known).sum(axis=1)).ravel())

    def signals(indices: NDArray[np.int64]) -> tuple[NDArray[np.bool_], dict[str, NDArray[np.float64]]]:
        wrong, seen = read(indices)
        x = seen["x"]
        cosine = np.asarray((x @ known.T).todense()) / length
        nearest = np.argpartition(-cosine, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
        near = np.take_along_axis(cosine, nearest, axis=1)
        rng = np.random.default_rng([seed, int(indices[0])])
        return wrong, {
            "specialist's probability": seen["confidence"],
            "specialist's margin": seen["margin"],
            f"prompt only (RouteLLM style, {n_router:,} outcomes)": prompt_only.predict_proba(x)[:, 1],
            f"k-NN over prompts (k={NEIGHBOURS}, {n_router:,} outcomes)": (near * ~wrong_router[nearest]).sum(
                axis=1
            )
            / NEIGHBOURS,
            "random split": rng.random(len(indices)),
            "oracle": np.where(wrong, 0.1, 0.9) + 0.05 * rng.random(len(indices)),
        }

    _, on_validation = signals(validation)
    wrong, on_unseen = signals(unseen)
    prices = load_prices()
    price = prices.of(TEACHER)
    tokens_read = np.mean([n_chars[i] for i in unseen]) / prices.chars_per_token
    began = time.perf_counter()
    read(unseen)
    seconds = (time.perf_counter() - began) / len(unseen)
    return Pool(
        wrong_N=wrong,
        out_of_scope_N=answers[unseen] == OUT_OF_SCOPE,
        signals=on_unseen,
        grids={name: cert.threshold_grid(values) for name, values in on_validation.items()},
        llm_usd=float(tokens_read * price.input_usd + 3 * price.output_usd) / 1e6,
        specialist_usd=prices.specialist_usd(seconds, 1),
        accuracy=float(1 - wrong.mean()),
    )


@dataclass(frozen=True)
class Splits:
    """S calibration sets drawn from the pool, each with the threshold it led to."""

    share_S: NDArray[np.float64]
    """Share of all unseen calls served."""
    loss_S: NDArray[np.float64]
    """True loss of that threshold on the population the set was drawn from."""
    level_S: NDArray[np.int64]
    """Index of the chosen threshold; -1 where nothing is served."""


def calibrate(
    signal_N: NDArray[np.float64],
    wrong_N: NDArray[np.bool_],
    grid_L: NDArray[np.float64],
    rule: str,
    epsilon: float,
    delta: float,
    n: int,
    n_splits: int,
    seed: int,
    *,
    believed_N: NDArray[np.float64] | None = None,
) -> Splits:
    """Chooses a threshold on each of `n_splits` random calibration sets of `n` calls.

    Drawn with replacement the unseen calls are the population itself, so the true loss of a threshold is known exactly.

    Args:
        signal_N: what is compared with the threshold.
        wrong_N: whether the specialist is wrong.
        grid_L: thresholds, strict to permissive.
        rule: "certificate" (exact, fixed sequence), "bet" (the betting p-value), "plug-in" (the largest share whose
            calibration loss is at most epsilon), "believed" (the same with the specialist's own error probability).
        epsilon: the loss allowed.
        delta: the level of the tests.
        n: calls in a calibration set.
        n_splits: how many sets.
        seed: of the draws.
        believed_N: error probability the specialist states, for "believed".
    """
    rng = np.random.default_rng(seed)
    n_all, n_levels = signal_N.size, grid_L.size
    # a call is served from the first threshold at or below its signal on
    level_N = (signal_N[:, None] < grid_L[None, :]).sum(axis=1)
    level_S = np.zeros(n_splits, dtype=np.int64)
    for split in range(n_splits):
        drawn = rng.choice(n_all, n)
        level_S[split] = (
            n_passed(rule, signal_N[drawn], wrong_N[drawn], grid_L, epsilon, delta, believed_N, drawn) - 1
        )
    count_L = np.bincount(level_N, minlength=n_levels + 1)[:n_levels].cumsum()
    wrong_L = np.bincount(level_N, weights=wrong_N, minlength=n_levels + 1)[:n_levels].cumsum()
    at = np.maximum(level_S, 0)
    none = level_S < 0
    return Splits(
        share_S=np.where(none, 0.0, count_L[at] / n_all),
        loss_S=np.where(none, 0.0, wrong_L[at] / n_all),
        level_S=level_S,
    )


def n_passed(
    rule: str,
    signal_N: NDArray[np.float64],
    wrong_N: NDArray[np.bool_],
    grid_L: NDArray[np.float64],
    epsilon: float,
    delta: float,
    believed_N: NDArray[np.float64] | None,
    drawn: NDArray[np.int64],
) -> int:
    """Number of thresholds, from the strict end on, that a rule lets pass on one calibration set."""
    if rule == "certificate":
        return cert.certify("not_worse_than_llm", signal_N, wrong_N, grid_L, epsilon, delta).n_passed
    served_NL = signal_N[:, None] >= grid_L[None, :]
    if rule == "bet":
        return cert.fixed_sequence(cert.betting_p(served_NL * wrong_N[:, None], epsilon, delta), delta)
    expected_N = believed_N[drawn] if rule == "believed" and believed_N is not None else wrong_N
    passed_L = (served_NL * expected_N[:, None]).mean(axis=0) <= epsilon
    return int(passed_L.size if passed_L.all() else np.argmin(passed_L))


def rule_rows(
    pool: Pool, n_splits: int, seed: int, n: int = 1000, delta: float = 0.05
) -> list[dict[str, Any]]:
    """Ways to set the threshold on the same signal: what each serves, and how often it breaks its word."""
    signal, grid = pool.signals[PROBABILITY], pool.grids[PROBABILITY]
    rules = (
        ("certificate (exact)", "certificate"),
        ("certificate (betting)", "bet"),
        ("plug-in on calibration", "plug-in"),
        ("uncalibrated, at its word", "believed"),
    )
    out = []
    for epsilon in EPSILONS:
        for title, rule in rules:
            s = calibrate(
                signal, pool.wrong_N, grid, rule, epsilon, delta, n, n_splits, seed, believed_N=1 - signal
            )
            out.append(
                {
                    "epsilon": epsilon,
                    "threshold by": title,
                    "served": float(s.share_S.mean()),
                    "mean loss": float(s.loss_S.mean()),
                    "violations": float((s.loss_S > epsilon).mean()),
                }
            )
    return out


def shift_rows(
    pool: Pool, n_splits: int, seed: int, n: int = 1000, delta: float = 0.05
) -> list[dict[str, Any]]:
    """Negative control: calibrated on in-scope requests, met by a stream in which many are out of scope."""
    name = "specialist's probability"
    inside = ~pool.out_of_scope_N
    signal, grid = pool.signals[name], pool.grids[name]
    out = []
    for epsilon in EPSILONS:
        s = calibrate(
            signal[inside], pool.wrong_N[inside], grid, "certificate", epsilon, delta, n, n_splits, seed
        )
        row: dict[str, Any] = {
            "epsilon": epsilon,
            "delta": delta,
            "no shift": float((s.loss_S > epsilon).mean()),
        }
        for share_outside in (0.2, 0.5):
            weight = np.where(inside, (1 - share_outside) / inside.sum(), share_outside / (~inside).sum())
            threshold_S = np.where(s.level_S < 0, np.inf, grid[np.maximum(s.level_S, 0)])
            loss_S = ((signal[None, :] >= threshold_S[:, None]) * (weight * pool.wrong_N)[None, :]).sum(
                axis=1
            )
            row[f"violations, {share_outside:.0%} out of scope"] = float((loss_S > epsilon).mean())
        out.append(row)
    return out


def signal_rows(
    pool: Pool, n_splits: int, seed: int, n: int = 1000, delta: float = 0.05
) -> list[dict[str, Any]]:
    """Every signal under the same certificate: the share it may serve and the cost at matched quality."""
    out: list[dict[str, Any]] = [
        {
            "epsilon": epsilon,
            "router": "LLM only",
            "served": 0.0,
            "by hindsight": 0.0,
            "violations": 0.0,
            "usd per 1,000 calls": 1000 * pool.llm_usd,
            "of the LLM's cost": 1.0,
        }
        for epsilon in EPSILONS
    ]
    for name, signal in pool.signals.items():
        for epsilon in EPSILONS:
            s = calibrate(
                signal, pool.wrong_N, pool.grids[name], "certificate", epsilon, delta, n, n_splits, seed
            )
            served = float(s.share_S.mean())
            # double spend: the specialist is asked at every call, the LLM at those it does not serve
            costs = CallCosts(pool.llm_usd, pool.specialist_usd)
            usd = float(expected_usd(served, 0.0, costs))
            out.append(
                {
                    "epsilon": epsilon,
                    "router": name,
                    "served": served,
                    "by hindsight": coverage_at(signal, pool.wrong_N, epsilon)[0],
                    "violations": float((s.loss_S > epsilon).mean()),
                    "usd per 1,000 calls": 1000 * usd,
                    "of the LLM's cost": usd / pool.llm_usd,
                }
            )
    return sorted(out, key=lambda row: (row["epsilon"], row["served"]))


def measured(log: Path, n_splits: int, seed: int) -> dict[str, Any]:
    """Rules, shift and signals as tables, printed and returned."""
    pool = make_pool(log, seed)
    print(
        f"{pool.wrong_N.size:,} unseen calls, {pool.out_of_scope_N.mean():.1%} out of scope; the linear predictor agrees "
        f"on {pool.accuracy:.1%}; an LLM call is counted at {1000 * pool.llm_usd:.3f} USD per 1,000 ({TEACHER}), "
        f"one of the specialist at {1000 * pool.specialist_usd:.2g}"
    )
    rules = rule_rows(pool, n_splits, seed)
    shift, signals = shift_rows(pool, n_splits, seed), signal_rows(pool, n_splits, seed)
    table.show("Ways to set the threshold, n = 1000, delta = .05", rules)
    table.show("Negative control: a shift after calibration, n = 1000", shift)
    table.show(
        "Cost at matched quality, n = 1000, delta = .05, every signal under the same certificate", signals
    )
    points = [
        msgspec.structs.asdict(point)
        for point in curve(
            pool.signals[PROBABILITY],
            pool.wrong_N.astype(float),
            [str(i) for i in range(pool.wrong_N.size)],
            pool.grids[PROBABILITY],
        )
    ]
    table.show("Share against loss, with 95 % intervals", points[:: max(1, len(points) // 12)])
    return {
        "n_unseen": int(pool.wrong_N.size),
        "predictor_accuracy": pool.accuracy,
        "rules": rules,
        "shift": shift,
        "signals": signals,
        "curve": points,
    }
