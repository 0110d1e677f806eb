"""Trains the network of the default tagger with torch, on one core; writes the weights that numpy runs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deputize.core.progress import Progress, silent
from deputize.privacy.tagger.default.pieces import PieceVectors
from deputize.privacy.tagger.default.words import (
    AFFIX_ROWS,
    N_BOUNDARIES,
    PART_ROWS,
    SHAPE_ROWS,
    WORD_ROWS,
    Features,
    boundaries_of,
    feature_key,
    features_of,
    words_of,
)
from deputize.privacy.tagger.labelled_text import Sample
from deputize.specialists.torch_runtime import torch_module

TYPES = ("PERSON", "LOCATION", "ORGANIZATION", "ADDRESS", "ID", "DATE", "PROFESSION", "AGE")
"""The network's outputs, one independent probability each."""
MAX_WORDS = 200
"""Words of a line that are trained on together."""


class NetworkSettings(NamedTuple):
    """Sizes of the network and settings of its training."""

    width: int = 128
    table_widths: tuple[int, int, int, int] = (48, 48, 48, 16)
    dilations: tuple[int, ...] = (1, 2, 4, 8)
    batch_words: int = 4096
    rate: float = 1.2e-3
    table_rate: float = 2.5e-3
    word_dropout: float = 0.35
    person_weight: float = 2.0
    seed: int = 0


class EncodedLines(NamedTuple):
    """Many lines as flat arrays; T words in all."""

    keys_T: NDArray[np.int32]
    """Index of the features of each word."""
    boundaries_T: NDArray[np.int8]
    targets_TK: NDArray[np.int8]
    covered_NK: NDArray[np.int8]
    """Of each line: 1 where a type is labelled."""
    starts_N1: NDArray[np.int64]
    """Start of each line, and the end of the last."""


class FeatureIndex:
    """Numbers for the keys of words, and their features as padded arrays."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._features: list[Features] = []

    def keys(self) -> list[str]:
        """The keys in order of their numbers."""
        return list(self._numbers)

    def number(self, key: str) -> int:
        """The number of a key, a new one for a new key."""
        found = self._numbers.get(key)
        if found is None:
            found = self._numbers[key] = len(self._features)
            self._features.append(features_of(key))
        return found

    def flat(self) -> list[tuple[NDArray[np.int32], NDArray[np.int64]]]:
        """For affixes, parts and shapes: rows of all keys behind each other, and the start of each key (one more at the
        end)."""
        out = []
        for field in ("affixes", "parts", "shapes"):
            rows = [getattr(f, field) for f in self._features]
            starts = np.cumsum([0, *map(len, rows)])
            out.append(
                (np.fromiter((r for row in rows for r in row), dtype=np.int32, count=int(starts[-1])), starts)
            )
        return out

    def words(self) -> NDArray[np.int32]:
        """The row of each key in the table of words."""
        return np.array([f.word for f in self._features], dtype=np.int32)


def encode_lines(lines: Iterable[tuple[Sample, frozenset[str]]], index: FeatureIndex) -> EncodedLines:
    """Lines of samples as arrays. A text of several lines gives several.

    Args:
        lines: samples, each with the types that are labelled in it.
        index: is given the words.
    """
    keys: list[int] = []
    boundaries: list[int] = []
    targets: list[NDArray[np.int8]] = []
    covered, starts = [], [0]
    for sample, covers in lines:
        known = np.array([name in covers for name in TYPES], dtype=np.int8)
        at = 0
        for line in sample.text.split("\n"):
            words = words_of(line)
            for first in range(0, len(words), MAX_WORDS):
                part = words[first : first + MAX_WORDS]
                keys += [index.number(feature_key(line, *word)) for word in part]
                boundaries += boundaries_of(line, part)
                targets.append(targets_of(sample, part, at))
                covered.append(known)
                starts.append(len(keys))
            at += len(line) + 1
    return EncodedLines(
        np.array(keys, dtype=np.int32),
        np.array(boundaries, dtype=np.int8),
        np.concatenate(targets),
        np.array(covered),
        np.array(starts, dtype=np.int64),
    )


def targets_of(sample: Sample, words: Sequence[tuple[int, int]], at: int) -> NDArray[np.int8]:
    """1 for each word (start and end in its line) and type that a label of the sample covers; the line begins at
    `at`."""
    out = np.zeros((len(words), len(TYPES)), dtype=np.int8)
    starts = np.array([w[0] for w in words]) + at
    ends = np.array([w[1] for w in words]) + at
    for label in sample.spans:
        if label.type in TYPES:
            out[(starts < label.end) & (ends > label.start), TYPES.index(label.type)] = 1
    return out


def weights_of_lines(samples: Iterable[tuple[Sample, float]]) -> NDArray[np.float64]:
    """The weight of each encoded line, from the weights of the samples that encode_lines was given."""
    out: list[float] = []
    for sample, weight in samples:
        for line in sample.text.split("\n"):
            out += [weight] * -(-len(words_of(line)) // MAX_WORDS)
    return np.array(out)


def build(settings: NetworkSettings, piece_width: int) -> Any:
    """The untrained network; piece_width: numbers that PieceVectors gives for a word."""
    torch = torch_module()
    nn = torch.nn

    class Network(nn.Module):  # type: ignore[name-defined,misc]
        """Tables of vectors and of pretrained pieces, a mean over the line, and residual gated convolutions over
        words."""

        def __init__(self) -> None:
            super().__init__()
            rows = (WORD_ROWS, AFFIX_ROWS, PART_ROWS, SHAPE_ROWS)
            self.tables = nn.ModuleList(
                nn.EmbeddingBag(r, w, mode="sum", sparse=True, padding_idx=0)
                for r, w in zip(rows, settings.table_widths, strict=True)
            )
            for table in self.tables:
                nn.init.normal_(table.weight, std=0.1)
                with torch.no_grad():
                    table.weight[0] = 0
            wide = settings.width
            self.boundary = nn.Embedding(N_BOUNDARIES, wide)
            self.project = nn.Linear(sum(settings.table_widths), wide)
            self.from_pieces = nn.Linear(piece_width, wide, bias=False)
            self.line = nn.Linear(wide, wide)
            self.first_norm = nn.LayerNorm(wide)
            self.convs = nn.ModuleList(nn.Linear(3 * wide, 2 * wide) for _ in settings.dilations)
            self.norms = nn.ModuleList(nn.LayerNorm(wide) for _ in settings.dilations)
            self.out = nn.Linear(wide, len(TYPES))

        def forward(self, rows: Any, pieces: Any, boundaries: Any, line_of: Any, n_lines: int) -> Any:
            vectors = [
                table(flat, offsets, per_sample_weights=weights)
                for table, (flat, offsets, weights) in zip(self.tables, rows, strict=True)
            ]
            x = self.project(torch.cat(vectors, 1)) + self.from_pieces(pieces) + self.boundary(boundaries)
            mean = torch.zeros(n_lines, x.shape[1]).index_add_(0, line_of, x)
            mean = mean / torch.bincount(line_of, minlength=n_lines)[:, None]
            x = self.first_norm(torch.relu(x + self.line(mean)[line_of]))
            for dilation, conv, norm in zip(settings.dilations, self.convs, self.norms, strict=True):
                same = (line_of[dilation:] == line_of[:-dilation]).to(x.dtype)[:, None]
                zeros = x.new_zeros(min(dilation, len(x)), x.shape[1])
                before = torch.cat([zeros, x[:-dilation] * same])[: len(x)]
                after = torch.cat([x[dilation:] * same, zeros])[-len(x) :]
                y = conv(torch.cat([before, x, after], 1))
                x = norm(x + torch.nn.functional.glu(y, 1))
            return self.out(x)

    torch.manual_seed(settings.seed)
    return Network()


class Batches:
    """Batches of lines of similar length in a random order."""

    def __init__(
        self, encoded: EncodedLines, index: FeatureIndex, settings: NetworkSettings, pieces: PieceVectors
    ) -> None:
        self._encoded = encoded
        self._pieces = pieces.features(index.keys()).astype(np.float16)
        self._flat = index.flat()
        self._words = index.words()
        self._settings = settings

    def order(
        self, weights_N: NDArray[np.float64] | None, rng: np.random.Generator
    ) -> list[NDArray[np.int64]]:
        """Lines of each batch of one pass; a line of weight 1.5 comes once or twice."""
        n = len(self._encoded.starts_N1) - 1
        times = (
            np.ones(n, dtype=np.int64)
            if weights_N is None
            else np.floor(weights_N + rng.random(n)).astype(np.int64)
        )
        chosen = rng.permutation(np.repeat(np.arange(n), times))
        sizes = np.cumsum(np.diff(self._encoded.starts_N1)[chosen])
        cuts = np.searchsorted(
            sizes, np.arange(self._settings.batch_words, sizes[-1], self._settings.batch_words)
        )
        return [part for part in np.split(chosen, np.unique(cuts)) if len(part)]

    def tensors(
        self, lines: NDArray[np.int64], rng: np.random.Generator | None
    ) -> tuple[Any, Any, Any, Any, Any, Any]:
        """(rows, pieces, boundaries, line of each word, targets, mask of covered) of a batch.

        Args:
            lines: numbers of lines.
            rng: drops words out; None: none is.
        """
        torch = torch_module()
        e = self._encoded
        starts, sizes = e.starts_N1[lines], e.starts_N1[lines + 1] - e.starts_N1[lines]
        words = np.repeat(starts - np.concatenate([[0], np.cumsum(sizes)[:-1]]), sizes) + np.arange(
            sizes.sum()
        )
        line_of = np.repeat(np.arange(len(lines)), sizes)
        keys = e.keys_T[words]
        word_rows = self._words[keys].astype(np.int64)
        if rng is not None:
            word_rows[rng.random(len(keys)) < self._settings.word_dropout] = 0
        rows = [(torch.from_numpy(word_rows), torch.arange(len(keys)), None)]
        rows[0] = (rows[0][0], rows[0][1], torch.ones(len(keys)))
        for flat, at in self._flat:
            counts = (at[keys + 1] - at[keys]).astype(np.int64)
            offsets = np.concatenate([[0], np.cumsum(counts)[:-1]])
            where = np.repeat(at[keys] - offsets, counts) + np.arange(counts.sum())
            chosen = flat[where].astype(np.int64)
            weights = np.repeat(1.0 / np.sqrt(counts), counts).astype(np.float32)
            rows.append((torch.from_numpy(chosen), torch.from_numpy(offsets), torch.from_numpy(weights)))
        return (
            rows,
            torch.from_numpy(self._pieces[keys].astype(np.float32)),
            torch.from_numpy(e.boundaries_T[words].astype(np.int64)),
            torch.from_numpy(line_of),
            torch.from_numpy(e.targets_TK[words].astype(np.float32)),
            torch.from_numpy(e.covered_NK[lines][line_of].astype(np.float32)),
        )


def fit(
    model: Any,
    batches: Batches,
    weights_N: NDArray[np.float64] | None,
    settings: NetworkSettings,
    *,
    seconds: float,
    progress: Progress = silent,
    clock: Callable[[], float] = time.monotonic,
    after_pass: Callable[[int], None] = lambda _: None,
) -> float:
    """Trains for so many seconds with a rate that falls to zero by then; returns the passes over the lines."""
    torch = torch_module()
    rng = np.random.default_rng(settings.seed)
    dense = [p for name, p in model.named_parameters() if not name.startswith("tables.")]
    optimisers = [
        torch.optim.AdamW(dense, lr=settings.rate, weight_decay=0.01, betas=(0.9, 0.98)),
        torch.optim.SparseAdam(list(model.tables.parameters()), lr=settings.table_rate, betas=(0.9, 0.98)),
    ]
    rates = (settings.rate, settings.table_rate)
    weights_K = torch.tensor([settings.person_weight if t == "PERSON" else 1.0 for t in TYPES])
    started, passes, step = clock(), 0.0, 0
    while True:
        order = batches.order(weights_N, rng)
        model.train()
        for number, lines in enumerate(order):
            share = (clock() - started) / seconds
            if share >= 1:
                return passes + number / len(order)
            factor = min(1.0, (step + 1) / 200) * 0.5 * (1 + math.cos(math.pi * share))
            for optimiser, rate in zip(optimisers, rates, strict=True):
                optimiser.param_groups[0]["lr"] = rate * factor
            *inputs, targets, covered = batches.tensors(lines, rng)
            logits = model(*inputs, len(lines))
            loss = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
            loss = (loss * covered * weights_K).sum() / len(targets)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(dense, 1.0)
            for optimiser in optimisers:
                optimiser.step()
                optimiser.zero_grad(set_to_none=True)
            step += 1
            progress(f"training, loss {loss.item():.4f}", number + 1, len(order))
        passes += 1
        after_pass(int(passes))


def arrays_of(model: Any) -> dict[str, NDArray[np.float32]]:
    """The weights by name."""
    return {name: tensor.detach().numpy().astype(np.float32) for name, tensor in model.state_dict().items()}


def save_arrays(
    arrays: Mapping[str, NDArray[np.float32]], pieces: Mapping[str, NDArray[Any]], path: Path
) -> None:
    """Writes the weights: tables in int8 with one scale a row, the pieces as they are, the rest in half precision."""
    out: dict[str, NDArray[Any]] = dict(pieces)
    for name, array in arrays.items():
        if name.startswith("tables."):
            scale = np.abs(array).max(axis=1, keepdims=True) / 127
            out[f"{name}.scale"] = scale.astype(np.float16)
            safe = np.where(scale.astype(np.float16) > 0, scale.astype(np.float16).astype(np.float32), 1)
            out[name] = np.clip(np.rint(array / safe), -127, 127).astype(np.int8)
        else:
            out[name] = array.astype(np.float16)
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **out)
