"""The wording of labelled samples without their values, and splits that keep samples of similar wording together.

Synthetic datasets of personal data are made from a few dozen templates. A split by record then mostly measures how well
the templates were memorised, so samples can be grouped into families of similar wording.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Sequence

from deputize.privacy.tagger.labelled_text import Sample

_DIGITS = re.compile(r"\d+")
_WORD = re.compile(r"<[A-Z_]+>|\w+|[^\w\s]")
_HEX = re.compile(r"\b(?=\w*\d)(?:[0-9a-f]{12,}|[0-9a-f]{2}(?::[0-9a-f]{2}){5})\b", re.IGNORECASE)


def skeleton(sample: Sample) -> str:
    """The wording of a sample: labels as <TYPE>, digits as 0, long hexadecimal runs as <HEX>, white space folded."""
    parts, at = [], 0
    for span in sample.spans:
        if span.start >= at:
            parts += [sample.text[at : span.start], f"<{span.type}>"]
            at = span.end
    parts.append(sample.text[at:])
    return " ".join(_DIGITS.sub("0", _HEX.sub("<HEX>", "".join(parts))).split())


def families(samples: Sequence[Sample], *, similarity: float = 0.5) -> list[int]:
    """A family number per sample: the same number where the wording is similar, directly or through a chain.

    Two skeletons are similar where the Jaccard index of their sets of three successive words reaches `similarity`.
    """
    import numpy as np
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import connected_components

    shapes: dict[str, int] = {}
    shape_of = [shapes.setdefault(skeleton(s), len(shapes)) for s in samples]
    vocabulary: dict[tuple[str, ...], int] = {}
    rows, columns = [], []
    for shape, row in shapes.items():
        words = ["^", *_WORD.findall(shape.lower()), "$"]
        # a text of one word still has one shingle, so that it is similar to its copies only
        for shingle in {tuple(words[i : i + 3]) for i in range(max(1, len(words) - 2))}:
            rows.append(row)
            columns.append(vocabulary.setdefault(shingle, len(vocabulary)))
    if not shapes:
        return []
    incidence = csr_matrix(
        (np.ones(len(rows), dtype=np.int32), (rows, columns)), shape=(len(shapes), len(vocabulary))
    )
    sizes = np.asarray(incidence.sum(axis=1)).ravel()
    shared = (incidence @ incidence.T).tocoo()
    union = sizes[shared.row] + sizes[shared.col] - shared.data
    alike = shared.data >= similarity * union
    graph = csr_matrix((alike[alike], (shared.row[alike], shared.col[alike])), shape=shared.shape)
    _, family = connected_components(graph, directed=False)
    return [int(family[shape]) for shape in shape_of]


def split_by_group(groups: Sequence[int | str], shares: Sequence[float], seed: int) -> list[int]:
    """The split of each item, as an index into `shares`; a group is in one split, and splits are as near to their
    shares as the groups allow.

    Groups are taken in an order that depends on the seed only, each for the split that lacks most. Deterministic.
    """
    members: dict[int | str, list[int]] = defaultdict(list)
    for index, group in enumerate(groups):
        members[group].append(index)
    order = sorted(members, key=lambda g: hashlib.blake2b(f"{seed}|{g}".encode(), digest_size=8).digest())
    filled = [0.0] * len(shares)
    splits = [0] * len(groups)
    for group in order:
        split = max(range(len(shares)), key=lambda i: shares[i] * len(groups) - filled[i])
        filled[split] += len(members[group])
        for index in members[group]:
            splits[index] = split
    return splits
