"""Trains the default tagger's encoder with torch: the first layers of a pretrained encoder learn to tell people,
places and firms.

References:
    Wang et al. (2024), "Multilingual E5 text embeddings", for the layers; Hu et al. (2024), "MiniCPM", section 4, for
    the course of the rate.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deputize.core.progress import Progress, silent
from deputize.privacy.tagger.default.encoder_codes import END, START
from deputize.privacy.tagger.default.encoder_pieces import EncoderFile
from deputize.privacy.tagger.default.encoder_table import EncoderTable
from deputize.privacy.tagger.default.line_encoder import MAX_PIECES, N_HEADS, PREFIX, SCALE_SUFFIX
from deputize.privacy.tagger.default.line_pieces import N_FORMS, LineSplitter
from deputize.privacy.tagger.default.training import TYPES, targets_of
from deputize.privacy.tagger.default.words import words_of
from deputize.privacy.tagger.labelled_text import Sample
from deputize.specialists.torch_runtime import torch_module

MEASURED_BATCHES = 40
PLACES = MAX_PIECES + 2
MEAN_EVERY = 10
LEVELS = 63
"""Of the weights that are kept, on each side of 0: they take some six bits each when packed."""


class EncoderSettings(NamedTuple):
    """Size of the encoder and settings of its training."""

    inner: tuple[int, ...] = (1536,) * 6
    """Numbers in the middle of each layer."""
    frozen: int = 2
    """Layers that stay as they are, the first ones: what they know of languages without labelled lines is kept."""
    batch_pieces: int = 2048
    rate: float = 2e-4
    head_rate: float = 1e-3
    piece_dropout: float = 0.06
    person_weight: float = 2.0
    warm_steps: int = 100
    falling_share: float = 0.0
    """Share of the steps in which the rate falls to zero, the last ones."""
    averaged_steps: tuple[int, ...] = ()
    """The weights after these steps and the last ones are averaged; 0: those before the first step. With a running
    mean, its weights are."""
    running_mean: float = 0.0
    """Share of the mean of the weights so far in the mean after MEAN_EVERY more steps, which is what the training
    gives; 0: the last weights are."""
    seed: int = 0


WIDE = EncoderSettings()
"""Of the first part of the training."""
NARROW = EncoderSettings(
    inner=(1536, 640, 640, 640), frozen=1, falling_share=0.5, averaged_steps=(800,), seed=1
)
"""Of the second part: half the time for a line. Early weights know more of the scripts that have made-up lines only."""
LATE = NARROW._replace(
    rate=1.5e-4, head_rate=5e-4, falling_share=0.0, averaged_steps=(0, 2600), running_mean=0.98, seed=2
)
"""Of the third part, which may end at any step, for the mean takes the place of a rate that falls."""
LAST = LATE._replace(batch_pieces=1024, rate=1e-4, head_rate=3e-4, averaged_steps=(0,), seed=3)
"""Of the fourth part, which begins with the weights that ship and goes on with lines of what is short. 2,200 steps
were no better as a whole, so its weights do not ship (docs/log.md)."""


class EncodedPieces(NamedTuple):
    """Many lines as flat arrays; P pieces in all."""

    rows_P: NDArray[np.int32]
    forms_P: NDArray[np.int8]
    targets_PK: NDArray[np.int8]
    covered_NK: NDArray[np.int8]
    """Of each line: 1 where a type is labelled."""
    weights_N: NDArray[np.float64]
    starts_N1: NDArray[np.int64]


def encode_pieces(
    lines: Iterable[tuple[Sample, frozenset[str], float]], splitter: LineSplitter
) -> EncodedPieces:
    """Lines of samples as arrays. A text of several lines gives several, a long line too.

    Args:
        lines: samples, each with the types that are labelled in it and its weight.
        splitter: splits lines into pieces.
    """
    rows: list[int] = []
    forms: list[int] = []
    targets: list[NDArray[np.int8]] = []
    covered, weights, starts = [], [], [0]
    for sample, covers, weight in lines:
        known = np.array([name in covers for name in TYPES], dtype=np.int8)
        at = 0
        for line in sample.text.split("\n"):
            words = words_of(line)
            split = splitter.split(line, words)
            spans = [(words[a][0], words[b - 1][1]) for a, b in split.words]
            rows += split.rows
            forms += split.forms
            targets.append(targets_of(sample, spans, at))
            for first in range(0, len(spans), MAX_PIECES):
                covered.append(known)
                weights.append(weight)
                starts.append(starts[-1] + min(MAX_PIECES, len(spans) - first))
            at += len(line) + 1
    return EncodedPieces(
        np.array(rows, dtype=np.int32),
        np.array(forms, dtype=np.int8),
        np.concatenate(targets),
        np.array(covered),
        np.array(weights),
        np.array(starts, dtype=np.int64),
    )


def untrained(wide: int, settings: EncoderSettings) -> Any:
    """Layers of an encoder of a width with an output for each type."""
    torch = torch_module()
    nn, functional = torch.nn, torch.nn.functional

    class Layer(nn.Module):  # type: ignore[name-defined,misc]
        """A layer of a BERT encoder."""

        def __init__(self, inner: int) -> None:
            super().__init__()
            self.qkv = nn.Linear(wide, 3 * wide)
            self.mixed = nn.Linear(wide, wide)
            self.mixed_norm = nn.LayerNorm(wide)
            self.up = nn.Linear(wide, inner)
            self.down = nn.Linear(inner, wide)
            self.down_norm = nn.LayerNorm(wide)

        def forward(self, x: Any, mask: Any) -> Any:
            n, length, _ = x.shape
            query, key, value = self.qkv(x).view(n, length, 3, N_HEADS, -1).permute(2, 0, 3, 1, 4)
            # by hand: torch's own attention takes seven times as long backwards on short lines
            likeness = torch.matmul(query * query.shape[-1] ** -0.5, key.transpose(-1, -2)) + mask.to(
                query.dtype
            )
            seen = (
                torch.matmul(likeness.softmax(-1).to(value.dtype), value)
                .transpose(1, 2)
                .reshape(n, length, wide)
            )
            x = self.mixed_norm(x + self.mixed(seen))
            return self.down_norm(x + self.down(functional.gelu(self.up(x), approximate="tanh")))

    class Encoder(nn.Module):  # type: ignore[name-defined,misc]
        """Vectors of pieces, their places and forms, layers of attention, and an output for each type."""

        def __init__(self) -> None:
            super().__init__()
            self.edges = nn.Parameter(torch.zeros(2, wide))
            self.places = nn.Parameter(torch.zeros(PLACES, wide))
            self.forms = nn.Parameter(torch.zeros(N_FORMS, wide))
            self.norm = nn.LayerNorm(wide)
            self.layers = nn.ModuleList(map(Layer, settings.inner))
            self.out = nn.Linear(wide, len(TYPES))

        def forward(self, x: Any, forms: Any, edges: Any, mask: Any) -> Any:
            with torch.no_grad():
                x = torch.where((edges >= 0)[..., None], self.edges[edges.clamp(min=0)], x)
                x = self.norm(x + self.places[: x.shape[1]])
                for layer in self.layers[: settings.frozen]:
                    x = layer(x, mask)
            x = x + self.forms[forms]
            for layer in self.layers[settings.frozen :]:
                x = layer(x, mask)
            return self.out(x)

    torch.manual_seed(settings.seed)
    return Encoder()


def build_encoder(encoder: EncoderFile, settings: EncoderSettings) -> Any:
    """The first layers of an encoder with an output for each type."""
    model = untrained(encoder.width, settings)
    model.load_state_dict({**model.state_dict(), **_pretrained(encoder, len(settings.inner))})
    return model


def narrowed(model: Any, batches: PieceBatches, settings: EncoderSettings) -> Any:
    """An encoder of fewer layers with fewer inner numbers, those that matter most in some batches, to be trained
    further.

    An inner number matters by its mean size times the length of what it adds.
    """
    torch = torch_module()
    small = untrained(model.places.shape[1], settings)
    sizes: list[list[Any]] = [[] for _ in settings.inner]
    handles = [
        layer.down.register_forward_pre_hook(
            lambda _, given, i=i: sizes[i].append(given[0].detach().abs().mean((0, 1)))
        )
        for i, layer in enumerate(model.layers[: len(settings.inner)])
    ]
    with torch.no_grad():
        for lines in batches.order(np.random.default_rng(settings.seed))[:MEASURED_BATCHES]:
            model(*batches.tensors(lines, None)[:4])
    for handle in handles:
        handle.remove()
    state = {n: t for n, t in model.state_dict().items() if n in small.state_dict()}
    for i, inner in enumerate(settings.inner):
        down = model.layers[i].down.weight.detach()
        matters = torch.stack(sizes[i]).mean(0) * down.norm(dim=0)
        kept = matters.topk(inner).indices.sort().values
        own = f"layers.{i}"
        state[f"{own}.down.weight"] = down[:, kept]
        for name in ("weight", "bias"):
            state[f"{own}.up.{name}"] = state[f"{own}.up.{name}"][kept]
    small.load_state_dict(state)
    return small


def _pretrained(encoder: EncoderFile, layers: int) -> dict[str, Any]:
    """The weights of an encoder by the names of the network's own."""
    torch = torch_module()
    wide = encoder.width
    found: dict[str, NDArray[np.float32]] = {
        "edges": encoder.packed("emb.word", encoder.n_tokens, wide, [START, END])
        + encoder.full("emb.type", (1, wide)),
        "places": encoder.full("emb.pos", (512, wide))[:PLACES],
        "norm.weight": encoder.full("emb.ln.w", (wide,)),
        "norm.bias": encoder.full("emb.ln.b", (wide,)),
    }
    for i in range(layers):
        own = f"layers.{i}"
        for name, theirs, n_in, n_out in (
            ("mixed", "ao", wide, wide),
            ("up", "fi", wide, 4 * wide),
            ("down", "fo", 4 * wide, wide),
        ):
            found[f"{own}.{name}.weight"] = encoder.packed(f"l{i}.{theirs}.w", n_out, n_in)
            found[f"{own}.{name}.bias"] = encoder.full(f"l{i}.{theirs}.b", (n_out,))
        found[f"{own}.qkv.weight"] = np.concatenate(
            [encoder.packed(f"l{i}.{n}.w", wide, wide) for n in "qkv"]
        )
        found[f"{own}.qkv.bias"] = np.concatenate([encoder.full(f"l{i}.{n}.b", (wide,)) for n in "qkv"])
        for name, theirs in (("mixed_norm", "aln"), ("down_norm", "oln")):
            found[f"{own}.{name}.weight"] = encoder.full(f"l{i}.{theirs}.w", (wide,))
            found[f"{own}.{name}.bias"] = encoder.full(f"l{i}.{theirs}.b", (wide,))
    return {name: torch.from_numpy(array) for name, array in found.items()}


class PieceBatches:
    """Batches of lines of like length in a random order."""

    def __init__(self, encoded: EncodedPieces, table: EncoderTable, settings: EncoderSettings) -> None:
        self._encoded = encoded
        self._settings = settings
        used, self._numbers = np.unique(encoded.rows_P, return_inverse=True)
        self._vectors = table.of(used.astype(np.int64)).astype(np.float16)
        self._unknown = table.of(np.zeros(1, dtype=np.int64))[0]

    def order(self, rng: np.random.Generator) -> list[NDArray[np.int64]]:
        """Lines of each batch of one pass; a line of weight 1.5 comes once or twice."""
        e = self._encoded
        sizes_N = np.diff(e.starts_N1)
        times = np.floor(e.weights_N + rng.random(len(sizes_N))).astype(np.int64) * (sizes_N > 0)
        chosen = rng.permutation(np.repeat(np.arange(len(sizes_N)), times))
        out: list[NDArray[np.int64]] = []
        for part in np.array_split(chosen, max(1, len(chosen) // 4000)):
            part = part[np.argsort(sizes_N[part], kind="stable")]
            first = 0
            while first < len(part):
                upto = first + 1
                while (
                    upto < len(part)
                    and (sizes_N[part[upto]] + 2) * (upto - first + 1) <= self._settings.batch_pieces
                ):
                    upto += 1
                out.append(part[first:upto])
                first = upto
        return [out[i] for i in rng.permutation(len(out))]

    def tensors(self, lines: NDArray[np.int64], rng: np.random.Generator | None) -> tuple[Any, ...]:
        """(vectors, forms, edges, mask, targets, weight of each target) of a batch, padded to the longest line.

        Args:
            lines: numbers of lines.
            rng: makes pieces unknown; None: none is.
        """
        torch = torch_module()
        e = self._encoded
        starts = e.starts_N1[lines]
        sizes = e.starts_N1[lines + 1] - starts
        length = int(sizes.max()) + 2
        at = np.arange(length)[None, :] - 1
        inner = (at >= 0) & (at < sizes[:, None])
        where = (starts[:, None] + at)[inner]
        vectors = np.zeros((len(lines), length, self._vectors.shape[1]), dtype=np.float32)
        drawn = self._vectors[self._numbers[where]].astype(np.float32)
        if rng is not None:
            drawn[rng.random(len(where)) < self._settings.piece_dropout] = self._unknown
        vectors[inner] = drawn
        forms = np.zeros((len(lines), length), dtype=np.int64)
        forms[inner] = e.forms_P[where]
        edges = np.full((len(lines), length), -1, dtype=np.int64)
        edges[:, 0] = 0
        edges[np.arange(len(lines)), sizes + 1] = 1
        mask = np.where(at <= sizes[:, None], 0, -1e4).astype(np.float32)[:, None, None, :]
        targets = np.zeros((len(lines), length, len(TYPES)), dtype=np.float32)
        targets[inner] = e.targets_PK[where]
        counted = inner[:, :, None] * e.covered_NK[lines][:, None, :].astype(np.float32)
        return tuple(map(torch.from_numpy, (vectors, forms, edges, mask, targets, counted)))


def fit_encoder(
    model: Any,
    batches: PieceBatches,
    settings: EncoderSettings,
    *,
    steps: int | None,
    seconds: float,
    progress: Progress = silent,
    clock: Callable[[], float] = time.monotonic,
    after_step: Callable[[int], None] = lambda _: None,
) -> int:
    """Trains for so many steps, or about so many seconds; the rate falls in the last ones. Returns the number of steps.

    A training that was ended by the clock is repeated by naming its steps.
    """
    torch = torch_module()
    rng = np.random.default_rng(settings.seed)
    head = [*model.out.parameters(), model.forms]
    body = list(model.layers[settings.frozen :].parameters())
    groups = [{"params": body, "lr": settings.rate}, {"params": head, "lr": settings.head_rate}]
    optimiser = torch.optim.AdamW(groups, weight_decay=0.01, betas=(0.9, 0.98))
    rates = (settings.rate, settings.head_rate)
    weights_K = torch.tensor([settings.person_weight if t == "PERSON" else 1.0 for t in TYPES])
    # where the processor knows no bfloat16, torch's own takes many times as long as single precision
    half = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    started, step = clock(), 0
    falls_at, ends_at = (
        (math.inf, math.inf) if steps is None else (steps - round(settings.falling_share * steps), steps)
    )
    model.train()
    while True:
        for lines in batches.order(rng):
            if math.isinf(ends_at) and clock() - started > (1 - settings.falling_share) * seconds:
                falls_at, ends_at = step, max(step + 1, round(step / (1 - settings.falling_share)))
            if step >= ends_at:
                return step
            fallen = (ends_at - step) / (ends_at - falls_at) if step > falls_at else 1.0
            factor = min(1.0, (step + 1) / settings.warm_steps, fallen)
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = rate * factor
            vectors, forms, edges, mask, targets, counted = batches.tensors(lines, rng)
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                logits = model(vectors, forms, edges, mask)
            loss = torch.nn.functional.binary_cross_entropy_with_logits(
                logits.float(), targets, reduction="none"
            )
            loss = (loss * counted * weights_K).sum() / counted.any(-1).sum().clamp(min=1)
            loss.backward()
            torch.nn.utils.clip_grad_norm_([*body, *head], 1.0)
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            step += 1
            progress(f"training, loss {loss.item():.4f}", step, None if math.isinf(ends_at) else int(ends_at))
            after_step(step)


def save_encoder(model: Any, settings: EncoderSettings) -> dict[str, NDArray[Any]]:
    """The arrays that LineEncoder reads: matrices in whole numbers of LEVELS steps with one scale a row, the rest in
    half precision."""
    out: dict[str, NDArray[Any]] = {f"{PREFIX}frozen": np.array(settings.frozen, dtype=np.int8)}
    for name, tensor in model.state_dict().items():
        array = tensor.detach().numpy().astype(np.float32)
        if name.endswith(".weight") and array.ndim == 2 and not name.startswith("out."):
            scale = (np.abs(array).max(axis=1, keepdims=True) / LEVELS).astype(np.float16)
            safe = np.where(scale > 0, scale.astype(np.float32), 1)
            out[PREFIX + name] = np.clip(np.rint(array / safe), -LEVELS, LEVELS).astype(np.int8)
            out[PREFIX + name + SCALE_SUFFIX] = scale
        else:
            out[PREFIX + name] = array.astype(np.float16)
    return out


def state_of(arrays: Mapping[str, NDArray[Any]]) -> dict[str, Any]:
    """The weights that save_encoder wrote, as rounded as they are, by the names of the network's own."""
    torch = torch_module()
    out = {}
    for name, array in arrays.items():
        if name.startswith(PREFIX) and array.ndim and not name.endswith(SCALE_SUFFIX):
            scale = arrays.get(name + SCALE_SUFFIX, np.float16(1))
            out[name.removeprefix(PREFIX)] = torch.from_numpy(
                array.astype(np.float32) * scale.astype(np.float32)
            )
    return out
