"""Trains the tagger's network on windows of the training samples: batches, learning rate, masked pieces, deadline.

Shapes: T word pieces of one window.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from deputize.core.progress import Progress
from deputize.privacy.tagger import network
from deputize.specialists.torch_runtime import has_fast_bf16, torch_module

HEAD_RATE_FACTOR = 4
"""The new layer is trained with so many times the learning rate of the encoder."""
WARM_UP = 0.06
"""Share of the training in which the learning rate rises."""
IGNORED = -100
"""Class of pieces that do not count in the loss: special tokens and padding."""


class TaggerTrainingSettings(NamedTuple):
    """Settings of the training of a tagger."""

    seed: int
    """Of everything random."""
    epochs: float = 3
    """Passes over the training samples."""
    deadline_s: float = 480
    """Seconds after which training ends; the learning rate falls to meet it. Choosing the threshold takes extra
    time."""
    learning_rate: float = 3e-4
    """Highest rate of the encoder."""
    mask_probability: float = 0.1
    """Share of unlabelled pieces that are masked at random, so that the model does not rely on the words around a
    value."""
    max_per_wording: int = 40
    """Samples of one wording (skeleton) that are used; further copies add nothing."""
    tokens_per_batch: int = 1536
    """Pieces in a batch, padding included."""


class TrainingWindow(NamedTuple):
    """One window of one training sample: ids and classes of its pieces, both of length T."""

    ids: list[int]
    classes: list[int]


class TrainingResult(NamedTuple):
    """The end of a training."""

    epochs: float
    stopped_early: bool
    """True where the deadline ended it."""


def training_batches(
    windows: Sequence[TrainingWindow], tokens_per_batch: int, rng: np.random.Generator
) -> list[list[int]]:
    """Indices of windows in batches of similar length, in random order; a batch has at most `tokens_per_batch`
    pieces."""
    lengths = np.array([len(w.ids) + 2 for w in windows])
    # some noise in the order, so that batches differ between epochs
    order = np.argsort(lengths + rng.uniform(0, 0.15, len(lengths)) * lengths, kind="stable")
    out: list[list[int]] = []
    longest = 0
    for index in order:
        longest = max(longest, int(lengths[index]))
        if not out or longest * (len(out[-1]) + 1) > tokens_per_batch:
            out.append([])
            longest = int(lengths[index])
        out[-1].append(int(index))
    return [out[int(i)] for i in rng.permutation(len(out))]


class TaggerTraining:
    """The training of one network, in place."""

    def __init__(
        self, model: Any, special: network.SpecialTokens, settings: TaggerTrainingSettings, device: str
    ) -> None:
        self._model, self._special, self._settings, self._device = model, special, settings, device
        self._torch = torch_module()
        head = list(model.classifier.parameters())
        body = [p for p in model.bert.parameters() if p.requires_grad]
        self._parameters = [*body, *head]
        rate = settings.learning_rate
        self._optimiser: Any = self._torch.optim.AdamW(
            [{"params": body, "top": rate}, {"params": head, "top": HEAD_RATE_FACTOR * rate}],
            lr=rate,
            weight_decay=0.01,
        )
        self._uses_bf16 = has_fast_bf16(device)

    def run(
        self,
        windows: Sequence[TrainingWindow],
        rng: np.random.Generator,
        ends_at: float,
        clock: Callable[[], float] = time.monotonic,
        progress: Progress = lambda *_: None,
    ) -> TrainingResult:
        """Trains until all epochs are done or the deadline is reached.

        Args:
            windows: of the training samples.
            rng: of batches and masks.
            ends_at: the deadline, in seconds of the clock.
            clock: seconds, monotonic.
            progress: called after batches.
        """
        settings = self._settings
        n_batches = len(training_batches(windows, settings.tokens_per_batch, np.random.default_rng(0)))
        n_steps = max(1, round(settings.epochs * n_batches))
        begun = clock()
        allowed_s = max(1e-9, ends_at - begun)
        self._model.train()
        batches = self._endless_batches(windows, rng)
        for step in range(n_steps):
            spent = (clock() - begun) / allowed_s
            if spent >= 1:
                return TrainingResult(settings.epochs * step / n_steps, True)
            self._set_learning_rate(max(step / n_steps, spent))
            self._step(next(batches), rng)
            progress("training the tagger", step + 1, n_steps)
        return TrainingResult(float(settings.epochs), False)

    def _endless_batches(
        self, windows: Sequence[TrainingWindow], rng: np.random.Generator
    ) -> Iterator[list[TrainingWindow]]:
        while True:
            queue = training_batches(windows, self._settings.tokens_per_batch, rng)
            while queue:
                yield [windows[i] for i in queue.pop()]

    def _set_learning_rate(self, done: float) -> None:
        """A linear warm-up, then a linear decay; `done` in [0, 1) is the share of the training."""
        factor = min(done / WARM_UP, 1.0) * (1.0 - done)
        for group in self._optimiser.param_groups:
            group["lr"] = group["top"] * max(factor, 1e-3)

    def _step(self, batch: Sequence[TrainingWindow], rng: np.random.Generator) -> None:
        torch = self._torch
        ids, attention = network.pad([w.ids for w in batch], self._special, torch)
        classes = np.full(tuple(ids.shape), IGNORED, dtype=np.int64)
        for row, window in enumerate(batch):
            classes[row, 1 : 1 + len(window.classes)] = window.classes
        if self._settings.mask_probability > 0:
            is_masked = (rng.random(classes.shape) < self._settings.mask_probability) & (classes == 0)
            ids = ids.masked_fill(torch.from_numpy(is_masked), self._special.mask)
        with torch.autocast(self._device, torch.bfloat16, enabled=self._uses_bf16):
            logits = self._model(
                input_ids=ids.to(self._device), attention_mask=attention.to(self._device)
            ).logits
        target = torch.from_numpy(classes).flatten().to(self._device)
        loss = torch.nn.functional.cross_entropy(logits.float().flatten(0, 1), target, ignore_index=IGNORED)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self._parameters, 1.0)
        self._optimiser.step()
        self._optimiser.zero_grad(set_to_none=True)
