"""Tasks of calls without answers: the part of each prompt that says what to do, grouped by its wording and its meaning.

A prompt of one block holds an instruction and a text, in any order. Cut into pieces, the pieces that come again nearly
as they were in other prompts are instructions, greetings and values of labels. Of their families those are taken that
nearly every prompt has exactly one of: a prompt has one instruction, but may have any number of the others. Families of
one meaning are joined.
"""

# shapes: N prompts, P distinct pieces, F families, D dimensions

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deputize.core.instruction_signs import instruction_signs
from deputize.core.progress import Progress, silent
from deputize.core.prompt_segments import head_of
from deputize.stages.cluster.text_communities import communities, embed, graph, has_embedder, reduced

NEAR = 0.65
"""Cosine of character n-grams from which two pieces are one wording, with slips and other small words."""
MIN_SHARE, MAX_SHARE = 0.01, 0.7
"""Share of the prompts in which a piece must come again, and from which a family parts nothing."""
MIN_PROMPTS = 4
MIN_LETTERS = 8
"""Letters and digits of the shortest piece."""
PIECES_OF_PROMPT = 4
"""Pieces of a prompt that may be its instruction: those that come again most often."""
COPIES = 12
"""Nodes for a piece that stands word for word in so many prompts or more, so that it can be a family by itself."""
OVERLAP = 0.5
"""What a second family in a prompt costs, in parts of its worth."""
SIGNED = 0.5
"""What words that instructions begin with add to a family's worth, which else is how alike its pieces are."""
SAME_MEANING, SAME_WORDS = 0.5, 0.3
"""Mean cosine between two families from which they are one task: by a sentence embedder, and by words alone."""
VALUE = 0.5
"""What values of labels lose of their worth: the label may be "Task", and may be "Customer"."""
_COMPARED = 600
"""Prompts that every piece is compared with."""
_READ = 24
"""Pieces of a family that its meaning is read from."""
_ROWS = 2000
_WORDS_OF_PIECE = 40
_CUT = re.compile(r"(?<=[.!?;:])\s+|\s+[-–—>|]{1,3}\s+|—|[()\"“”„«»]|\.\.\.")
_WORD = re.compile(r"[^\W\d_]+|\d+")


@dataclass(slots=True)
class _Pieces:
    """The pieces of all prompts."""

    texts: list[str]
    """(P,) distinct ones: words in small letters, numbers as 0."""
    is_value: NDArray[np.bool_]
    """(P,) of a line `Label: value` the value."""
    of_prompt: list[list[int]]
    """(N,) of each prompt, the most frequent first."""
    vectors: Any
    """(P, n-grams), sparse, unit rows."""


@dataclass(slots=True)
class _Families:
    """Families of pieces."""

    of_piece: NDArray[np.int64]
    """(P,) -1 for a piece of none."""
    has_NF: NDArray[np.bool_]
    """Which prompts have a piece of which family."""
    worth_F: NDArray[np.float64]


def group_by_instruction(
    texts: Sequence[str],
    *,
    models_dir: Path | None,
    seed: int,
    progress: Progress = silent,
) -> list[int]:
    """A number for each prompt, the same for prompts with instructions of one meaning; -1 where no instruction was
    found.

    Args:
        texts: the users' messages.
        models_dir: folder of the sentence embedder that joins wordings; without it they are joined by the words they
            share.
        seed: of every draw.
        progress: called while the embedder works.
    """
    pieces = _recurring(_cut(texts), seed)
    if not any(pieces.of_prompt):
        return [-1] * len(texts)
    families = _find_families(pieces, seed)
    chosen = _choose(families)
    found: list[int] = []
    said: list[str] = []
    for n, own in enumerate(pieces.of_prompt):
        here = [f for f in chosen if families.has_NF[n, f]]
        family = max(here, key=lambda f: float(families.worth_F[f])) if here else -1
        found.append(family)
        said.append(next((pieces.texts[p] for p in own if families.of_piece[p] == family), ""))
    task_of_family = _join(found, said, models_dir, progress)
    return [task_of_family.get(family, -1) for family in found]


def pieces_of(text: str) -> list[tuple[str, bool]]:
    """The pieces of a prompt, each once, and whether it is the value of a labelled line."""
    lines = [line for line in map(str.strip, text.splitlines()) if line]
    out: dict[str, bool] = {}
    for line in lines:
        is_labelled = len(lines) > 1 and head_of(line) != ""
        for n, part in enumerate(_CUT.split(line)):
            words = ["0" if word.isdigit() else word for word in _WORD.findall(part.lower())]
            if sum(map(len, words)) >= MIN_LETTERS:
                out.setdefault(" ".join(words[:_WORDS_OF_PIECE]), is_labelled and n > 0)
    return list(out.items())


def _cut(texts: Sequence[str]) -> _Pieces:
    from sklearn.feature_extraction.text import TfidfVectorizer

    cut = [pieces_of(text) for text in texts]
    is_value = {piece: value for pieces in cut for piece, value in pieces}
    number = {piece: i for i, piece in enumerate(is_value)}
    vectorizer: Any = TfidfVectorizer(
        analyzer="char_wb", ngram_range=(3, 4), sublinear_tf=True, max_features=30_000, dtype=np.float32
    )
    return _Pieces(
        texts=list(is_value),
        is_value=np.array(list(is_value.values()), bool),
        of_prompt=[[number[piece] for piece, _ in pieces] for pieces in cut],
        vectors=vectorizer.fit_transform(list(is_value)) if is_value else None,
    )


def _recurring(pieces: _Pieces, seed: int) -> _Pieces:
    """Of each prompt the few pieces that come again most often, and no piece that hardly does."""
    n_prompts = len(pieces.of_prompt)
    if pieces.vectors is None:
        return pieces
    compared = np.random.default_rng(seed).permutation(n_prompts)[:_COMPARED]
    share_P = _share_with(pieces, compared.tolist())
    least = max(MIN_PROMPTS / len(compared), MIN_SHARE)
    kept = [
        sorted((p for p in own if share_P[p] >= least), key=lambda p: (-share_P[p], p))[:PIECES_OF_PROMPT]
        for own in pieces.of_prompt
    ]
    used = sorted({p for own in kept for p in own})
    number = {p: i for i, p in enumerate(used)}
    return _Pieces(
        texts=[pieces.texts[p] for p in used],
        is_value=pieces.is_value[used],
        of_prompt=[[number[p] for p in own] for own in kept],
        vectors=pieces.vectors[used],
    )


def _share_with(pieces: _Pieces, compared: Sequence[int]) -> NDArray[np.float64]:
    """The share of some prompts that have a piece like each, (P,)."""
    from scipy.sparse import csr_matrix

    columns = sorted({p for n in compared for p in pieces.of_prompt[n]})
    place = {p: i for i, p in enumerate(columns)}
    rows = [(n, place[p]) for n, prompt in enumerate(compared) for p in pieces.of_prompt[prompt]]
    shape = (len(columns), len(compared))
    where = ([c for _, c in rows], [n for n, _ in rows])
    is_in: Any = csr_matrix((np.ones(len(rows), np.float32), where), shape=shape)
    out_P = np.zeros(len(pieces.texts))
    others = pieces.vectors[columns].T.tocsr()
    for start in range(0, len(out_P), _ROWS):
        near: Any = pieces.vectors[start : start + _ROWS] @ others
        near.data = (near.data >= NEAR).astype(np.float32)
        near.eliminate_zeros()
        hits: Any = near @ is_in
        out_P[start : start + _ROWS] = np.diff(hits.indptr) / len(compared)
    return out_P


def _find_families(pieces: _Pieces, seed: int) -> _Families:
    counts = Counter(p for own in pieces.of_prompt for p in own)
    n_copies = [min(counts[p], COPIES) for p in range(len(pieces.texts))]
    nodes = np.repeat(np.arange(len(pieces.texts)), n_copies)
    labels = communities(graph(reduced(pieces.vectors)[nodes]), seed=seed)
    first = np.concatenate([[0], np.cumsum(n_copies)[:-1]])
    _, of_piece = np.unique(labels[first], return_inverse=True)
    n_families = int(of_piece.max()) + 1
    has_NF = np.zeros((len(pieces.of_prompt), n_families), bool)
    for n, own in enumerate(pieces.of_prompt):
        has_NF[n, of_piece[own]] = True
    worth_F = np.zeros(n_families)
    for f in range(n_families):
        members = np.flatnonzero(of_piece == f)
        n_F = np.array([counts[p] for p in members.tolist()], np.float64)
        total = np.asarray(pieces.vectors[members].multiply(n_F[:, None]).sum(0)).ravel()
        n = n_F.sum()
        alike = (float(total @ total) - n) / (n * (n - 1)) if n > 1 else 0.0
        signed = np.mean([bool(instruction_signs(pieces.texts[p])) for p in members[:200].tolist()])
        worth_F[f] = alike * (1 - VALUE * pieces.is_value[members].mean()) + SIGNED * signed
    return _Families(np.asarray(of_piece, np.int64), has_NF, worth_F)


def _choose(families: _Families) -> list[int]:
    """The families that nearly every prompt has exactly one of: added and taken away while that is worth more."""
    n_prompts = len(families.has_NF)
    share_F = families.has_NF.mean(0)
    least = max(MIN_PROMPTS / n_prompts, MIN_SHARE)
    open_F = [f for f in range(len(share_F)) if least <= share_F[f] <= MAX_SHARE]
    worth_NF = families.has_NF * families.worth_F

    def worth(chosen: Sequence[int]) -> float:
        if not chosen:
            return 0.0
        mine = worth_NF[:, list(chosen)]
        best_N = mine.max(1)
        return float((best_N - OVERLAP * (mine.sum(1) - best_N)).sum())

    chosen: list[int] = []
    reached = 0.0
    while True:
        moves = [[g for g in chosen if g != f] if f in chosen else [*chosen, f] for f in open_F]
        best = max(moves, key=worth, default=[])
        if worth(best) <= reached + 1e-6:
            return chosen
        chosen, reached = best, worth(best)


def _join(
    found: Sequence[int], said: Sequence[str], models_dir: Path | None, progress: Progress
) -> dict[int, int]:
    """Family -> task: the closest joined first, while their pieces have one meaning."""
    wordings: dict[int, Counter[str]] = {}
    for family, piece in zip(found, said, strict=True):
        if family >= 0:
            wordings.setdefault(family, Counter())[piece] += 1
    names = sorted(wordings)
    if not names:
        return {}
    read = {f: [piece for piece, _ in wordings[f].most_common(_READ)] for f in names}
    distinct = list(dict.fromkeys(piece for f in names for piece in read[f]))
    place = {piece: i for i, piece in enumerate(distinct)}
    vectors_PD = embed(distinct, models_dir, progress)
    centre_FD = np.array([vectors_PD[[place[piece] for piece in read[f]]].mean(0) for f in names])
    centre_FD /= np.maximum(np.linalg.norm(centre_FD, axis=1, keepdims=True), 1e-9)
    alike_FF = centre_FD @ centre_FD.T
    least = SAME_MEANING if has_embedder(models_dir) else SAME_WORDS
    tasks = [[i] for i in range(len(names))]
    while len(tasks) > 1:
        pairs = [
            (float(alike_FF[np.ix_(tasks[b], tasks[a])].mean()), -b, -a)
            for a in range(len(tasks))
            for b in range(a)
        ]
        closest, b, a = max(pairs)
        if closest < least:
            break
        tasks[-b] += tasks.pop(-a)
    return {names[i]: n for n, members in enumerate(tasks) for i in members}
