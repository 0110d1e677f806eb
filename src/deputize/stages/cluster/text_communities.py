"""Groups texts by meaning: embeddings, a shared-nearest-neighbour graph, Leiden communities. Seeded, order fixed.

References:
    Traag et al. 2019, "From Louvain to Leiden". Jarvis & Patrick 1973 for shared nearest neighbours.
"""

# shapes: N texts, D dimensions, K neighbours

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deputize.core.errors import MissingExtra
from deputize.core.progress import Progress, silent

NEIGHBOURS = 10
EMBEDDER = "all-MiniLM-L6-v2"
MAX_ENCODED = 6_000
"""Texts up to which the embedder itself reads them; more are read by its static word vectors alone."""
_EXACT = 20_000
_BATCH_TOKENS = 8192
_MAX_TOKENS = 128

Vectors = NDArray[np.float32]


def embed(texts: Sequence[str], models_dir: Path | None = None, progress: Progress = silent) -> Vectors:
    """Unit vectors of texts, (N, D): by MiniLM where it has been fetched, else by TF-IDF reduced with an SVD.

    Above MAX_ENCODED texts MiniLM's word vectors are averaged instead of running it (some 50 times faster).
    """
    if models_dir is not None and has_embedder(models_dir):
        folder = models_dir / EMBEDDER
        if len(texts) <= MAX_ENCODED:
            return _encode(texts, folder, progress)
        return _average(texts, folder)
    return _tfidf(texts)


def has_embedder(models_dir: Path | None) -> bool:
    """Check whether `embed` reads meanings: the embedder has been fetched and what runs it is installed."""
    if models_dir is None or not (models_dir / EMBEDDER / "config.json").exists():
        return False
    return find_spec("torch") is not None and find_spec("transformers") is not None


def _encode(texts: Sequence[str], folder: Path, progress: Progress) -> Vectors:
    import torch
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    tokenizer: Any = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    model: Any = AutoModel.from_pretrained(folder, trust_remote_code=False, attn_implementation="sdpa").eval()
    lengths = [min(_MAX_TOKENS, len(text) // 4 + 4) for text in texts]
    order = sorted(range(len(texts)), key=lambda i: (lengths[i], i))
    out = np.zeros((len(texts), int(model.config.hidden_size)), np.float32)
    start = 0
    with torch.inference_mode():
        while start < len(order):
            size = max(1, min(256, _BATCH_TOKENS // lengths[order[min(start + 255, len(order) - 1)]]))
            batch = order[start : start + size]
            inputs = tokenizer(
                [texts[i][:2000] for i in batch],
                padding=True,
                truncation=True,
                max_length=_MAX_TOKENS,
                return_tensors="pt",
            )
            hidden = model(**inputs).last_hidden_state
            mask = inputs["attention_mask"][..., None]
            out[batch] = ((hidden * mask).sum(1) / mask.sum(1)).float().numpy()
            start += size
            progress("reading the meaning of prompts", start, len(order))
    return _unit(out)


def _average(texts: Sequence[str], folder: Path) -> Vectors:
    """Averaged static word vectors of the embedder, rare words weighing more (smooth inverse frequency)."""
    from safetensors import safe_open
    from tokenizers import Tokenizer

    with safe_open(folder / "model.safetensors", framework="np") as weights:
        name = next(k for k in weights.keys() if k.endswith("word_embeddings.weight"))  # noqa: SIM118 - not a dict
        table = weights.get_tensor(name).astype(np.float32)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length=256)
    ids = [e.ids for e in tokenizer.encode_batch([text[:2000] for text in texts], add_special_tokens=False)]
    counts = np.bincount(
        np.concatenate([np.asarray(i, np.int64) for i in ids if i] or [np.zeros(1, np.int64)]),
        minlength=len(table),
    )
    rarity = (1e-3 / (1e-3 + counts / max(1, counts.sum()))).astype(np.float32)
    out = np.zeros((len(texts), table.shape[1]), np.float32)
    for row, tokens in enumerate(ids):
        if tokens:
            out[row] = rarity[tokens] @ table[tokens]
    return _unit(out - out.mean(0))


def _tfidf(texts: Sequence[str]) -> Vectors:
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer: Any = TfidfVectorizer(
        sublinear_tf=True, ngram_range=(1, 2), max_features=30_000, dtype=np.float32
    )
    try:
        matrix: Any = vectorizer.fit_transform([text[:4000] for text in texts])
    except ValueError:  # no word in any text
        return np.ones((len(texts), 1), np.float32)
    return reduced(matrix)


def reduced(matrix: Any) -> Vectors:
    """Unit vectors of the rows of a sparse matrix, reduced to some dimensions by an SVD, (N, D)."""
    from sklearn.decomposition import TruncatedSVD

    dimensions = min(96, min(matrix.shape) - 1)
    if dimensions < 2:
        return _unit(np.asarray(matrix.todense(), np.float32))
    return _unit(TruncatedSVD(dimensions, random_state=0).fit_transform(matrix).astype(np.float32))


def _unit(vectors_ND: Vectors) -> Vectors:
    norms = np.linalg.norm(vectors_ND, axis=1, keepdims=True)
    return np.asarray(vectors_ND / np.maximum(norms, 1e-9), np.float32)


def neighbours(vectors_ND: Vectors, k: int = NEIGHBOURS) -> NDArray[np.int64]:
    """The K nearest of each text by cosine, itself first, (N, K+1)."""
    n = len(vectors_ND)
    k = min(k, n - 1)
    if n > _EXACT and find_spec("usearch"):
        from usearch.index import Index

        index: Any = Index(
            ndim=vectors_ND.shape[1], metric="cos", connectivity=16, expansion_add=64, expansion_search=48
        )
        index.add(np.arange(n), vectors_ND, threads=2)
        return _self_first(np.asarray(index.search(vectors_ND, k + 1, threads=2).keys, np.int64))
    out = np.empty((n, k + 1), np.int64)
    for start in range(0, n, 2048):
        near = vectors_ND[start : start + 2048] @ vectors_ND.T
        near[np.arange(len(near)), np.arange(start, start + len(near))] = np.inf
        top = (
            np.argpartition(-near, min(k, n - 1), axis=1)[:, : k + 1]
            if k + 1 < n
            else np.tile(np.arange(n), (len(near), 1))
        )
        rank = np.argsort(-np.take_along_axis(near, top, 1), axis=1, kind="stable")
        out[start : start + len(near)] = np.take_along_axis(top, rank, 1)
    return out


def _self_first(near: NDArray[np.int64]) -> NDArray[np.int64]:
    own = np.arange(len(near))[:, None]
    order = np.argsort(near != own, axis=1, kind="stable")
    near = np.take_along_axis(near, order, 1)
    near[:, 0] = own[:, 0]
    return near


def graph(vectors_ND: Vectors, k: int = NEIGHBOURS) -> Any:
    """The shared-nearest-neighbour graph, a symmetric sparse (N, N) matrix.

    Texts of which one is among the K nearest of the other are linked; a link weighs what the two have in common.
    """
    from scipy.sparse import csr_matrix

    near = neighbours(vectors_ND, k)
    n, width = near.shape
    ones = np.ones(n * width, np.float32)
    member: Any = csr_matrix((ones, near.ravel(), np.arange(0, n * width + 1, width)), shape=(n, n))
    linked = member + member.T
    linked.data[:] = 1.0
    shared: Any = (member @ member.T).multiply(linked).tocsr()
    shared.setdiag(0)
    shared.eliminate_zeros()
    shared.sort_indices()
    return shared


def communities(weights_NN: Any, *, seed: int = 0, resolution: float = 1.0) -> NDArray[np.int64]:
    """The Leiden community of each node, (N,), numbered by size; nodes without a link are communities of their own.

    Raises:
        MissingExtra: graspologic-native is not installed.
    """
    try:
        import graspologic_native as native
    except ImportError as error:
        raise MissingExtra.package("graspologic-native", "tasks") from error
    n = weights_NN.shape[0]
    coo = weights_NN.tocoo()
    upper = coo.row < coo.col
    edges = [
        (str(a), str(b), float(w))
        for a, b, w in zip(
            coo.row[upper].tolist(), coo.col[upper].tolist(), coo.data[upper].tolist(), strict=True
        )
    ]
    found = native.leiden(edges, resolution=resolution, iterations=3, trials=2, seed=seed)[1] if edges else {}
    raw = np.array([found.get(str(i), -1) for i in range(n)], np.int64)
    alone = raw < 0
    raw[alone] = raw.max(initial=-1) + 1 + np.arange(alone.sum())
    names, first, inverse, counts = np.unique(raw, return_index=True, return_inverse=True, return_counts=True)
    order = np.lexsort((first, -counts))
    rank = np.empty(len(names), np.int64)
    rank[order] = np.arange(len(names))
    return np.asarray(rank[inverse.ravel()], np.int64)
