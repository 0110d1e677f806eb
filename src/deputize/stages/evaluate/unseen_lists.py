"""The test of a claim on the calls alone that list what was not in training, beside that on all calls.

A threshold is certified where both tests pass it, each at delta: one that is false for either of the two passes with
probability delta at most.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from deputize.scoring.certificates import SequenceTest
from deputize.stages.evaluate.evaluation import Evaluation

OF_UNSEEN = "of requests with tools or schemas that were not in training alone"


def of_unseen(units: Evaluation) -> Evaluation | None:
    """The units that list what was not in training; None where there are none, or the certificate is not to be about
    them."""
    return units.take(np.flatnonzero(units.unseen_N)) if units.unseen_N.any() else None


def passing_both(sequence: SequenceTest, alone: SequenceTest, share_L: Sequence[float]) -> list[float]:
    """The shares served at the thresholds of a test, 0 where the other test, which passed some, does not pass them.

    Between two of its own thresholds the other test serves the same calls, so it has passed what lies between those
    that it passed. What is stricter than its first it has not tested: its walk may begin lower.
    """
    first, least = alone.thresholds_L[0], alone.thresholds_L[alone.n_passed - 1]
    return [s if least <= t <= first else 0.0 for s, t in zip(share_L, sequence.thresholds_L, strict=True)]
