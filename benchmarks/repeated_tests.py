"""False certificates where a home tests several times: several tasks in one run, or run after run as the log grows.

Each task and each run goes through the real evaluation, with the real ledger of tests (benchmarks.simulated_traffic).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks import simulated_traffic as simulated
from deputize.core.config import Convert
from deputize.stages.evaluate.delta_budget import InMemoryTestLedger

N_TASKS, CALLS_OF_TASK = 5, 450
N_RUNS, FIRST_CALLS, MORE_CALLS = 10, 500, 100


def scope_rows(config: Convert, n_draws: int, seed: int) -> list[dict[str, Any]]:
    """How often any of five tasks gets a false certificate, with delta for each of them and for all at once.

    A run says both (TaskResult.family_wise is what `--scope all-routes` would certify).
    """
    found: dict[str, list[list[bool]]] = {"per-route": [], "all-routes": []}
    for draw in range(n_draws):
        rng = np.random.default_rng([seed, draw])
        traffics = [simulated.independent(rng, CALLS_OF_TASK) for _ in range(N_TASKS)]
        results = simulated.evaluated_tasks(traffics, config.model_copy(update={"seed": seed + draw}))
        for thresholds, runs in (
            ([r.certificate.threshold if r.certificate else None for r in results], found["per-route"]),
            ([r.family_wise.threshold if r.family_wise else None for r in results], found["all-routes"]),
        ):
            runs.append(
                [
                    traffic.loss(threshold) > config.epsilon
                    for traffic, threshold in zip(traffics, thresholds, strict=True)
                    if threshold is not None
                ]
            )
    return [
        {
            "scope": scope,
            "runs": n_draws,
            "tasks certified": sum(map(len, runs)) / (n_draws * N_TASKS),
            "a task's is false": sum(map(sum, runs)) / (n_draws * N_TASKS),
            "any is false": sum(map(any, runs)) / n_draws,
        }
        for scope, runs in found.items()
    ]


def growing_rows(config: Convert, n_draws: int, seed: int) -> list[dict[str, Any]]:
    """How often a certificate of ten runs over one growing log is false, with the ledger of tests and without."""
    out = []
    for paid in (True, False):
        false_RD = np.zeros((N_RUNS, n_draws), dtype=bool)
        n_certified = 0
        for draw in range(n_draws):
            rng = np.random.default_rng([seed, draw])
            whole = simulated.independent(rng, FIRST_CALLS + (N_RUNS - 1) * MORE_CALLS)
            tests = InMemoryTestLedger()
            for run in range(N_RUNS):
                seen = simulated.first_calls(whole, FIRST_CALLS + run * MORE_CALLS)
                given = config.model_copy(update={"seed": seed + run})
                result = simulated.evaluated(seen, given, tests if paid else None, f"r{run}")
                if result.certificate is not None:
                    n_certified += 1
                    false_RD[run, draw] = whole.loss(result.certificate.threshold) > config.epsilon
        out.append(
            {
                "tests": "paid for" if paid else "as if first",
                "homes": n_draws,
                "runs certified": n_certified / (n_draws * N_RUNS),
                "a run's is false": float(false_RD.mean()),
                "worst run": float(false_RD.mean(axis=1).max()),
                "any of ten is false": float(false_RD.any(axis=0).mean()),
            }
        )
    return out
