"""Text as hashed word and character n-grams: no vocabulary, so nothing of the traffic's words lies on disk.

Knows nothing of tasks. Rows are L2-normalised sublinear counts, with inverse document frequencies kept per bucket.

Legend: N texts, F buckets.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.feature_extraction.text import HashingVectorizer

from deputize.core.errors import Tampered

N_BUCKETS = 1 << 17
"""Word buckets, and as many for characters."""

MOST_BUCKETS = 2 * N_BUCKETS
"""Words and characters together."""

_WORD: Final = re.compile(r"(?u)[^\W_]+|[^\w\s]")


def n_words(text: str) -> int:
    """Number of words and signs of a text: its tokens, for a model that reads these n-grams."""
    return len(_WORD.findall(text))


def checked_buckets(n_buckets: int) -> int:
    """The number of buckets that a file says, before memory is taken for them.

    Raises:
        Tampered: no model has so many.
    """
    if not 0 <= n_buckets <= MOST_BUCKETS:
        raise Tampered(
            f"a specialist's file says {n_buckets} buckets; no more than {MOST_BUCKETS} are written"
        )
    return n_buckets


def counts_of(texts: Sequence[str], n_buckets: int = N_BUCKETS) -> Any:
    """How often each text has each n-gram: sparse float32 [N, F], words in the first half, characters in the second.

    Not to be changed in place: the model and the detector of a specialist count the same few texts one after the other.
    """
    few = tuple(texts) if len(texts) <= _FEW else None
    return _counts(texts, n_buckets) if few is None else _counts_of_few(few, n_buckets)


def _counts(texts: Sequence[str], n_buckets: int) -> Any:
    shared: dict[str, Any] = {
        "n_features": n_buckets,
        "norm": None,
        "alternate_sign": False,
        "dtype": np.float32,
    }
    words = HashingVectorizer(ngram_range=(1, 2), token_pattern=_WORD.pattern, **shared)
    chars = HashingVectorizer(analyzer="char_wb", ngram_range=(3, 5), **shared)
    return sparse.hstack([words.transform(texts), chars.transform(texts)], format="csr")


_FEW = 64
_counts_of_few = lru_cache(maxsize=1)(_counts)


def idf_of_counts(counts_NF: Any) -> npt.NDArray[np.float32]:
    """Smoothed inverse document frequency of each bucket over texts, from their counts. Shape [F]."""
    seen_F = np.bincount(counts_NF.indices, minlength=counts_NF.shape[1])
    idf_F: npt.NDArray[np.float32] = (np.log((1 + counts_NF.shape[0]) / (1 + seen_F)) + 1).astype(np.float32)
    return idf_F


def vectors_of_counts(counts_NF: Any, idf_F: npt.NDArray[np.float32]) -> Any:
    """Sparse float32 rows [N, F] of texts, from their counts, each half (words, characters) of length sqrt(1/2)."""
    n_buckets = idf_F.shape[0] // 2
    rows_NF = counts_NF.copy()
    rows_NF.data = (1 + np.log(rows_NF.data)) * idf_F[rows_NF.indices]
    rows_NF.eliminate_zeros()
    halves = []
    for half in (rows_NF[:, :n_buckets], rows_NF[:, n_buckets:]):
        length_N = np.sqrt(np.asarray(half.multiply(half).sum(axis=1)).ravel())
        scale_N = np.where(length_N > 0, np.sqrt(0.5) / np.maximum(length_N, 1e-12), 0.0)
        halves.append(sparse.diags(scale_N) @ half)
    return sparse.hstack(halves, format="csr", dtype=np.float32)
