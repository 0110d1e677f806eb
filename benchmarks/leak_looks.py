"""How often does a specialist that leaks pass the leak test by luck? `python -m benchmarks.leak_looks --runs 400`.

Simulated losses of known truth through the real test: one secret is exactly so many bits exposed at every look, whatever weakens the specialist, the others are
unknown to it. From look to look the losses of the random secrets keep their correlation `--rho` (1: a look tells nothing new, 0: all of it is drawn again, the
worst case). A look is all that a specialist gets before it is tested again: a tuned adapter has 3, a cascade of two members 5.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Sequence
from hashlib import blake2b
from typing import NamedTuple

import numpy as np

from deputize.scoring.leak import LEAST_BITS, LEVEL, LeakProbe, Loss, bits_total, level_of_further
from deputize.stages.finetune import planted_secrets
from deputize.stages.finetune.examples import TrainingExample
from deputize.stages.finetune.fit_cascade import SOFTER
from deputize.stages.finetune.methods.cascade_method import N_REFERENCES
from deputize.stages.finetune.methods.fine_tuning import N_RIVALS, STRENGTHS

N_BITS = bits_total(planted_secrets.FORM)
LIMIT = N_BITS - LEAST_BITS
"""Bits of exposure from which a secret leaks."""


class Case(NamedTuple):
    """One specialist that is looked at."""

    run: int
    looks: int
    n_references: tuple[int, int]
    exposed: float
    """Bits of the one secret; 0: six secrets of which nothing is known."""
    rho: float
    shape: str


def normal(*words: object) -> float:
    """A standard normal number that belongs to some words."""
    digest = blake2b(repr(words).encode(), digest_size=16).digest()
    a, b = int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:], "big")
    return math.sqrt(-2 * math.log((a + 1) / 2**64)) * math.cos(2 * math.pi * b / 2**64)


def shaped(value: float, shape: str) -> float:
    """The loss of a secret at a place of the normal distribution; "odd": two heaps, which no skew-normal fits."""
    return value if shape == "normal" else value + 4 * math.tanh(4 * value)


def simulated_loss(case: Case, look: int, known: str) -> Loss:
    """Losses of one look: of the `known` secret so low as its exposure says."""
    from scipy.stats import norm

    low = float(norm.ppf(2.0**-case.exposed)) if case.exposed else 0.0

    def one(probe: LeakProbe) -> float:
        if case.exposed and probe.prompt == known:
            return shaped(low, case.shape)
        old, new = normal(case.run, probe), normal(case.run, probe, look)
        return shaped(math.sqrt(case.rho) * old + math.sqrt(1 - case.rho) * new, case.shape)

    def loss(probes: Sequence[LeakProbe]) -> list[float]:
        return [one(probe) for probe in probes]

    return loss


def passes(case: Case) -> list[list[bool]]:
    """For each look, whether the specialist has passed by then: with the same bar at every look, and with a higher one
    after the first."""
    rows = [TrainingExample(f"c{i}", f"text {i}", {"label": "a"}, 1.0, f"g{i}") for i in range(40)]
    most = 1 if case.exposed else planted_secrets.MOST
    planted = planted_secrets.plant_to_choose(rows, lambda _: True, seed=case.run, most=most)
    known = planted.secrets[0].filled().prompt

    def passed(look: int, level: float) -> bool:
        loss = simulated_loss(case, look, known)
        leak = planted_secrets.leak_test(
            planted, loss, n_references=case.n_references, seed=case.run, level=level
        )
        return leak is not None and not leak.leaks

    first, out = passed(0, LEVEL), []
    for level in (LEVEL, level_of_further(case.looks - 1)):
        track = [first]
        for look in range(1, case.looks):
            track.append(track[-1] or passed(look, level))
        out.append(track)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=300)
    parser.add_argument("--bits", type=float, nargs="+", default=[LIMIT, LIMIT + 1, 0.0])
    parser.add_argument("--rho", type=float, nargs="+", default=[0.0])
    parser.add_argument("--shapes", nargs="+", default=["normal"])
    parser.add_argument("--kinds", nargs="+", default=["adapter", "cascade"])
    given = parser.parse_args()
    kinds = {"adapter": (len(STRENGTHS), N_RIVALS), "cascade": (1 + 2 * len(SOFTER), N_REFERENCES)}
    print(
        "| kind | losses | bits exposed | rho | bar after the first look | passed by look 1, 2, ... |\n|---|---|---|---|---|---|"
    )
    for kind, shape, bits, rho in itertools.product(given.kinds, given.shapes, given.bits, given.rho):
        looks, n_references = kinds[kind]
        found = [passes(Case(run, looks, n_references, bits, rho, shape)) for run in range(given.runs)]
        for bar, share in zip(("the same", "higher"), np.mean(found, axis=0), strict=True):
            told = ", ".join(f"{one:.3f}" for one in share)
            print(f"| {kind} | {shape} | {bits:.1f} | {rho:g} | {bar} | {told} |", flush=True)


if __name__ == "__main__":
    main()
