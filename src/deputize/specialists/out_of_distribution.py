"""Detector of requests unlike those that a specialist was trained on, over the full space of hashed n-grams.

The distance of a text to one trained on is the part of the text, weighed by inverse document frequency, whose n-grams
the other does not have. It is not symmetric: what the other has besides is no distance, and what is added to a text is.
On CLINC150 that notices added instructions nearly twice as often as the cosine does, and as much of what is out of
scope.

Knows nothing of tasks or models. A certificate never depends on it: it is part of the specialist that is calibrated.

Legend: N texts trained on, G groups of them, R texts of reference, Q texts asked about, F buckets.

References:
    Bates et al., "Testing for outliers with conformal p-values", arXiv 2104.08279.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import sparse

from deputize.core.group_order import group_numbers
from deputize.core.listed_tools import without_list
from deputize.core.prompt_segments import MASK
from deputize.core.subjects import Subjects
from deputize.specialists.hashed_features import checked_buckets, counts_of

Floats = npt.NDArray[np.float32]

MIN_GROUPS = 100
"""With fewer groups no text could be told from those trained on: the least p-value is one over their number."""
MAX_TEXTS = 10_000
MAX_CHARS = 1_000_000
"""Characters of all texts that are kept: about 12 bytes of memory each."""
MAX_REFERENCE = 2_000
_MANY: Final = 50_000
"""Texts of the buckets of one text, counted for each bucket, from which a product of matrices is quicker."""
_VALUE: Final = re.compile(r"\S*(?:@|://|www\.|\d)\S*")
_STORED_PRECISION = 1e-3
"""Half a float16 step or more, so that a text trained on is as near after storage as before."""


class OutOfDistributionDetector:
    """Conformal p-value of a text's distance to the nearest groups of the texts trained on.

    Of texts only the buckets of their hashed n-grams are kept, and of these only what several subjects' texts share.
    """

    def __init__(
        self,
        by_bucket_FN: Any,
        idf_F: Floats,
        starts_G: npt.NDArray[np.int64],
        distances_R: Floats,
    ) -> None:
        """
        Args:
            by_bucket_FN: 1 where a text has an n-gram of a bucket: sparse, texts in the order of their groups.
            idf_F: inverse document frequencies.
            starts_G: the first text of each group.
            distances_R: reference: distances of texts trained on to the nearest of another group, ascending.
        """
        self.by_bucket_FN, self.idf_F = by_bucket_FN, idf_F
        self.starts_G, self.distances_R = starts_G, distances_R

    @classmethod
    def fit(
        cls, texts: Sequence[str], groups: Sequence[str], subjects: Subjects, *, seed: int
    ) -> OutOfDistributionDetector | None:
        """A detector for texts of train; None with fewer than MIN_GROUPS groups.

        The reference is one text of each group: calls of one group (episode) contain each other, and a new call has
        none of its own group to be near to.

        Args:
            texts: pruned prompts.
            groups: of the texts.
            subjects: of the texts; an n-gram that fewer have is not kept.
            seed: of the draws.
        """
        rng = np.random.default_rng(seed)
        number = group_numbers(groups)
        order = np.array(sorted(_drawn(texts, groups, rng), key=lambda i: number[groups[i]]), dtype=np.int64)
        numbers_N = np.array([number[groups[i]] for i in order], dtype=np.int64)
        _, starts_G = np.unique(numbers_N, return_index=True)
        if len(starts_G) < MIN_GROUPS:
            return None
        counts_NF = counts_of([masked(texts[i]) for i in order])
        n_subjects_F = _n_holders(counts_NF, [subjects.names[i] for i in order])
        n_groups_F = _n_holders(counts_NF, numbers_N.tolist())
        shared_F = n_subjects_F >= subjects.least
        by_bucket_FN = ((counts_NF != 0).astype(np.float32) @ sparse.diags(shared_F.astype(np.float32))).T
        by_bucket_FN.eliminate_zeros()
        detector = cls(
            by_bucket_FN.tocsr(),
            _idf(n_groups_F, shared_F, len(starts_G)),
            starts_G.astype(np.int64),
            np.zeros(0, np.float32),
        )
        ends_G = np.append(starts_G[1:], len(order))
        chosen_G = rng.permutation(len(starts_G))[:MAX_REFERENCE]
        reference_R = rng.integers(starts_G[chosen_G], ends_G[chosen_G])
        # a text of the reference is weighed as if its group had not been seen, as that of a new one has not
        others_F = n_subjects_F > subjects.least
        idf_F = _idf(n_groups_F - 1, others_F, len(starts_G) - 1)
        nearest: list[float] = []
        for group, (indices_K, parts_K) in zip(chosen_G, _parts(counts_NF[reference_R], idf_F), strict=True):
            has_K = others_F[indices_K]
            shared_N = detector._part_shared(indices_K[has_K], parts_K[has_K])
            shared_N[starts_G[group] : ends_G[group]] = -1.0
            nearest.append(float(shared_N.max()))
        detector.distances_R = np.sort(1 - np.array(nearest, np.float32))
        return detector

    def _part_shared(self, indices_K: npt.NDArray[np.int32], parts_K: Floats) -> npt.NDArray[np.float64]:
        """For each text kept, the sum of the parts whose buckets it has. Shape [N].

        Args:
            indices_K: buckets of one text.
            parts_K: of each, its part of the text.
        """
        n_texts, texts = self.by_bucket_FN.shape[1], self.by_bucket_FN.indices
        starts_K, ends_K = self.by_bucket_FN.indptr[indices_K], self.by_bucket_FN.indptr[indices_K + 1]
        n_K = ends_K - starts_K
        shared_N: npt.NDArray[np.float64]
        if n_K.sum() < _MANY:
            places = np.repeat(starts_K - (np.cumsum(n_K) - n_K), n_K) + np.arange(n_K.sum())
            shared_N = np.bincount(texts[places], np.repeat(parts_K, n_K), minlength=n_texts).astype(float)
            return shared_N
        # the same sums in the same order: np.bincount would convert 32-bit indices, which takes most of its time
        found = np.concatenate(
            [texts[start:end] for start, end in zip(starts_K.tolist(), ends_K.tolist(), strict=True)]
        )
        begins_K = np.concatenate([[0], np.cumsum(n_K)]).astype(texts.dtype)
        has_NK = sparse.csc_array((np.ones(len(found)), found, begins_K), shape=(n_texts, len(indices_K)))
        shared_N = has_NK @ parts_K.astype(np.float64)
        return shared_N

    def p_values(self, texts: Sequence[str]) -> list[float]:
        """For each text (1 + #{reference distances >= its own}) / (R + 1)."""
        if not texts:
            return []
        n = len(self.distances_R)
        counts_QF = counts_of([masked(text) for text in texts], self.idf_F.shape[0] // 2)
        distances = [
            1 - self._part_shared(indices_K, parts_K).max(initial=0.0)
            for indices_K, parts_K in _parts(counts_QF, self.idf_F)
        ]
        n_nearer = np.searchsorted(self.distances_R, np.array(distances) - _STORED_PRECISION)
        return [float((1 + n - nearer) / (n + 1)) for nearer in n_nearer]

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """The detector as arrays, for storage."""
        kept_F = np.flatnonzero(np.diff(self.by_bucket_FN.indptr))
        return {
            "buckets": kept_F.astype(np.int32),
            "idf": self.idf_F[kept_F].astype(np.float16),
            "unseen_idf": np.array(self.idf_F.max(initial=1.0)),
            "shape": np.array(self.by_bucket_FN.shape),
            "counts": np.diff(self.by_bucket_FN.indptr)[kept_F].astype(np.int32),
            "texts": self.by_bucket_FN.indices.astype(np.int32),
            "starts": self.starts_G,
            "distances": self.distances_R.astype(np.float32),
        }

    @classmethod
    def of_arrays(cls, arrays: dict[str, npt.NDArray[np.generic]]) -> OutOfDistributionDetector:
        """A stored detector. Raises Tampered where it says more buckets than there are."""
        n_buckets, n_texts = (int(n) for n in arrays["shape"].astype(np.int64))
        checked_buckets(n_buckets)
        kept_F = arrays["buckets"].astype(np.int64)
        idf_F = np.full(n_buckets, float(arrays["unseen_idf"].astype(np.float32)), np.float32)
        idf_F[kept_F] = arrays["idf"].astype(np.float32)
        counts_F = np.zeros(n_buckets, np.int64)
        counts_F[kept_F] = arrays["counts"].astype(np.int64)
        by_bucket_FN = sparse.csr_matrix(
            (
                np.ones(len(arrays["texts"]), np.float32),
                arrays["texts"].astype(np.int32),
                np.concatenate([[0], np.cumsum(counts_F)]),
            ),
            shape=(n_buckets, n_texts),
        )
        return cls(
            by_bucket_FN, idf_F, arrays["starts"].astype(np.int64), arrays["distances"].astype(np.float32)
        )


def masked(text: str) -> str:
    """A text with its values (addresses, links, numbers, ids) masked.

    They say nothing of what kind of request it is; and those of a live request are not like the surrogates of train.
    Of a request that lists its
    own tools these are left out: an unseen one is the certificate's matter.
    """
    return _VALUE.sub(MASK, without_list(text))


def _parts(counts_QF: Any, idf_F: Floats) -> Iterator[tuple[npt.NDArray[np.int32], Floats]]:
    """For each text its buckets and what part of it each makes up: squares of unit rows (vectors_of_counts)."""
    n_buckets = idf_F.shape[0] // 2
    for start, end in pairwise(counts_QF.indptr):
        indices_K = counts_QF.indices[start:end]
        squares_K = np.square((1 + np.log(counts_QF.data[start:end])) * idf_F[indices_K])
        is_word_K = indices_K < n_buckets
        words, chars = squares_K[is_word_K].sum(), squares_K[~is_word_K].sum()
        yield indices_K, squares_K * np.where(is_word_K, 0.5 / max(words, 1e-12), 0.5 / max(chars, 1e-12))


def _drawn(texts: Sequence[str], groups: Sequence[str], rng: np.random.Generator) -> list[int]:
    """Indices of at most MAX_TEXTS texts of MAX_CHARS characters: one of each group first."""
    order = rng.permutation(len(texts)).tolist()
    first = dict(reversed([(groups[i], i) for i in order]))
    order = [*first.values(), *(i for i in order if first[groups[i]] != i)][:MAX_TEXTS]
    ends = np.cumsum([len(texts[i]) for i in order])
    return order[: int(np.searchsorted(ends, MAX_CHARS, side="right"))]


def _idf(n_groups_F: npt.NDArray[np.int64], shared_F: npt.NDArray[np.bool_], n: int) -> Floats:
    """Smoothed inverse document frequencies; a bucket that is not shared says as little as one never seen."""
    idf_F: Floats = (np.log((1 + n) / (1 + np.where(shared_F, n_groups_F, 0))) + 1).astype(np.float32)
    return idf_F


def _n_holders(counts_NF: Any, names: Sequence[str | int]) -> npt.NDArray[np.int64]:
    """For each bucket, how many names have a text that has it. Shape [F]."""
    number = {name: i for i, name in enumerate(dict.fromkeys(names))}
    who_N = np.array([number[name] for name in names])
    cells = counts_NF.tocoo()
    pairs = np.unique(cells.col.astype(np.int64) * len(number) + who_N[cells.row])
    return np.bincount(pairs // len(number), minlength=counts_NF.shape[1])
