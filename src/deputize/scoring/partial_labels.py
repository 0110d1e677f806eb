"""The loss of a specialist beyond the LLM's, where the right answer is known of some calls only.

Shape letter: N independent units, in a random order. `differs_N` is 1 where the specialist's answer is not the LLM's;
`difference_N` is the specialist's loss less the LLM's, in {-1, 0, 1}, and NaN where there is no label. Where both give
the same answer neither is better, so the difference is at most `differs_N`.

References:
    Angelopoulos et al., "Prediction-powered inference", Science 382, 2023, arXiv 2301.09633.
    Zrnic and Candes, "Active statistical inference", arXiv 2403.03208: weights by the chance of having a label.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from deputize.scoring.certificates import Floats


def with_bounds(differs_N: ArrayLike, difference_N: ArrayLike) -> Floats:
    """The difference where it is known, elsewhere the most that it can be. Its mean is never too small, whichever calls
    have labels."""
    difference = np.asarray(difference_N, dtype=float)
    return np.where(np.isnan(difference), np.asarray(differs_N, dtype=float), difference)


def prediction_powered(differs_N: ArrayLike, difference_N: ArrayLike) -> Floats:
    """Terms whose mean is that of the difference over all units, where the labelled ones were drawn at random.

    Each unit has `differs`, and a labelled one what that was wrong by, over its chance of having a label. Given how
    many labels there are, the chance of the next unit is the share of labels among the units that are left, whatever
    the answers were. So each term has the right mean given those before it, as a bet needs it (certificates.betting_p),
    and is at most 1. Where no label is left, `differs` alone is too large, never too small.
    """
    differs, difference = np.asarray(differs_N, dtype=float), np.asarray(difference_N, dtype=float)
    labelled = ~np.isnan(difference)
    n_left_N = np.arange(differs.size, 0, -1)
    chance_N = np.cumsum(labelled[::-1])[::-1] / n_left_N
    correction_N = np.where(labelled, np.nan_to_num(difference) - differs, 0.0)
    out: Floats = differs + np.divide(correction_N, chance_N, out=np.zeros_like(differs), where=labelled)
    return out
