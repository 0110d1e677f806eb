"""The training loop of the SLM rungs: LoRA, QLoRA, DoRA or the whole model, with answer-only loss and logits.

Stops at the deadline or when dev no longer improves; a checkpoint after each epoch lets a killed run go on.

What cannot be got by generalising can only be memorised: where a row's written values, seen before, are still harder than those
of all rows of dev, which were never seen, the pass leaves them out. So what one episode alone holds (a stray secret, a
slip) is seen once, and how hard it may pull then is bounded by what the rows before it cost. Where dev is as hard, nothing
is left out; decisions among choices never are, nor are they bounded, for they may be rare.

Legend: B rows of a batch, T tokens, H width, C choices.

References:
    Hu et al., "LoRA", arXiv 2106.09685; Liu et al., "DoRA", arXiv 2402.09353; Dettmers et al., "QLoRA", arXiv 2305.14314.
    Kang and Hashimoto, "Improved Natural Language Generation via Loss Truncation", arXiv 2004.14589: leaving out the
    hardest rows, by a quantile of train there, by what dev shows here.
    Feldman, "Does Learning Require Memorization?", arXiv 1906.05271: what is rare and odd is learnt by memory alone.
"""

from __future__ import annotations

import json
import math
import random
import shutil
import statistics
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from deputize.core.progress import Progress
from deputize.scoring.intervals import coverage_at
from deputize.specialists.head import batches, padded
from deputize.specialists.language_model import LanguageModel
from deputize.specialists.torch_runtime import torch_module
from deputize.stages.finetune.encode import EncodedExample

N_BEFORE, LEAST_PULL = 16, 0.5
"""Rows before that a row is held against, and the loss (nats) that any row may have."""
MIN_HARD = 16
"""Rows of dev from which its hardest says anything of what is too hard."""
DEV_PART, MIN_DEV = 0.1, 32
"""Part of the budget for looking at dev, and the rows of it that are looked at in any case."""


@dataclass(frozen=True)
class TrainingSettings:
    """How a specialist is tuned."""

    method: str = "lora"
    rank: int = 16
    alpha: int = 32
    lr: float = 1e-3
    head_lr: float = 3e-3
    epochs: int = 8
    batch: int = 8
    """Rows per optimiser step."""
    micro_tokens: int = 2048
    """Padded tokens per backward pass: activations rule memory."""
    layers: float = 1.0
    """Share of the layers, from the top, that get adapters; the output of those below is kept for all epochs."""
    warmup: float = 0.06
    patience: int = 2
    """Epochs without a better dev before it stops."""
    max_dev: int = 400
    cache_gb: float = 2.0
    """Most memory for kept lower-layer outputs."""
    skip_hard: bool = True
    """Whether to leave out what only memory could learn."""
    most_pull: float = 2.0
    """How many times the middle one of the rows before it a row's written values may weigh in the loss; 0: no bound."""


@dataclass
class EpochResult:
    """What one epoch did."""

    number: int
    train_loss: float
    dev_loss: float
    dev_accuracy: float
    dev_coverage: float
    """Mean share servable at .01, .02 and .05, by hindsight."""
    seconds: float
    n_left_out: int = 0
    """Rows whose values only memory could have learnt."""


class _Token(NamedTuple):
    """A scored token."""

    row: int
    counts: bool
    is_value: bool
    """Written freely, not one of given choices."""


def _of_values(losses: Sequence[float], scored: Sequence[_Token], n_rows: int) -> list[float]:
    """Loss of what is freely written in each row."""
    out = [0.0] * n_rows
    for loss, token in zip(losses, scored, strict=True):
        if token.is_value:
            out[token.row] += loss
    return out


class Trainer:
    """One specialist in training."""

    def __init__(
        self,
        base: LanguageModel,
        adapter: str,
        settings: TrainingSettings,
        train: Sequence[EncodedExample],
        dev: Sequence[EncodedExample],
        heads: list[tuple[Any, Any]],
        *,
        seed: int,
        clock: Callable[[], float],
    ) -> None:
        torch = torch_module()
        self.base, self.adapter, self.settings = base, adapter, settings
        self.train, self.seed, self.clock = list(train), seed, clock
        order = random.Random(seed).sample(range(len(dev)), min(len(dev), settings.max_dev))
        self.dev = [dev[i] for i in order]
        self.heads = heads
        weights = (
            base.adapter_parameters(adapter) if adapter else [(k, p) for k, p in base.lm.named_parameters()]
        )
        self.weights: list[tuple[str, Any]] = weights
        for _, p in weights:
            p.requires_grad_(True)
        # half-precision weights lose small updates: the optimiser works on fp32 copies
        self.masters = [p.detach().float().clone() for _, p in weights]
        self.head_parts = [part.requires_grad_(True) for pair in heads for part in pair]
        groups: list[dict[str, Any]] = [{"params": self.masters, "lr": settings.lr}]
        if self.head_parts:
            groups.append({"params": self.head_parts, "lr": settings.head_lr})
        self.optimizer = torch.optim.AdamW(
            groups, betas=(0.9, 0.99), weight_decay=0.0, fused=base.device != "mps"
        )
        self.rates: list[float] = [g["lr"] for g in groups]
        self.history: list[EpochResult] = []
        self.best: dict[str, Any] | None = None
        self.best_score = -math.inf
        self.step_number, self.n_tokens, self.busy_s = 0, 0, 0.0
        self.lower = self._keep_lower()
        self._dev_fitted = False
        self._before: deque[float] = deque(maxlen=N_BEFORE)
        self.limit, self._n_left_out = math.inf, 0
        """Loss above which the values of a row are left out: the most that dev showed after the pass before."""

    # -- steps

    def run(self, budget_s: float, checkpoint: Path | None, progress: Progress, what: str) -> None:
        """Trains until the epochs are done, dev stops improving or the budget (seconds, resumed time included) ends.

        The best state by dev is in place afterwards.
        """
        settings = self.settings
        per_epoch = math.ceil(len(self.train) / settings.batch)
        planned = per_epoch * settings.epochs
        began = self.clock() - self.busy_s
        first = len(self.history)
        for number in range(first, settings.epochs):
            epoch_began, losses = self.clock(), []
            self._n_left_out = 0
            out_of_time, step_s = False, 0.0
            for at, chosen in enumerate(self._order(number)):
                step_began = self.clock()
                # no step is begun that would not end in time
                spent = (step_began - began + step_s) / max(budget_s, 1e-9)
                # by steps where time suffices, by time where it does not: the rate reaches its end either way
                done = max((number * per_epoch + at) / planned, spent)
                if done >= 1.0:
                    out_of_time = True
                    break
                losses.append(self._step(chosen, self._rate(done)))
                progress(
                    f"{what}: epoch {number + 1}/{settings.epochs}", number * per_epoch + at + 1, planned
                )
                step_s = self.clock() - step_began
            self.busy_s = self.clock() - began
            if not losses:
                break
            self._fit_dev(budget_s, settings.epochs - first)
            # where time ended in the first epoch there is nothing to compare with, and prediction dev would only cost more
            only = out_of_time and self.best is None
            dev_loss, accuracy, coverage = (math.nan,) * 3 if only else self._judge()
            seconds = self.clock() - epoch_began
            spent_s = round(seconds, 2)
            self.history.append(
                EpochResult(
                    number + 1,
                    float(np.mean(losses)),
                    dev_loss,
                    accuracy,
                    coverage,
                    spent_s,
                    self._n_left_out,
                )
            )
            self._remember((dev_loss, accuracy, coverage))
            self.busy_s = self.clock() - began
            if checkpoint is not None:
                self.save(checkpoint)
            if out_of_time or self._stuck():
                break
        self._restore_best()

    def _fit_dev(self, budget_s: float, n_epochs: int) -> None:
        """Keeps no more of dev than a tenth of the budget can look at after each epoch; once, at the first look."""
        if self._dev_fitted:
            return
        self._dev_fitted = True
        rate = 2 * self.n_tokens / max(self.busy_s, 1e-9)  # no backward pass
        n_tokens_an_epoch = sum(len(row) for row in self.train)
        n_looks = min(n_epochs, max(1.0, budget_s * rate / 2 / max(1, n_tokens_an_epoch)))
        room = DEV_PART * budget_s * rate / n_looks
        n_tokens_N = np.cumsum([len(row) for row in self.dev])
        self.dev = self.dev[: max(MIN_DEV, int(np.searchsorted(n_tokens_N, room, side="right")))]

    def _rate(self, done: float) -> float:
        if done < self.settings.warmup:
            return max(0.05, done / self.settings.warmup)
        return 0.05 + 0.95 * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    def _order(self, epoch: int) -> Iterator[list[int]]:
        """Batches of like length in random order; the same for the same seed and epoch."""
        rng = random.Random(f"{self.seed}:{epoch}")
        order = list(range(len(self.train)))
        rng.shuffle(order)
        size = self.settings.batch
        pool = size * 8
        chunks: list[list[int]] = []
        for start in range(0, len(order), pool):
            near = sorted(order[start : start + pool], key=lambda i: len(self.train[i]))
            chunks += [near[j : j + size] for j in range(0, len(near), size)]
        rng.shuffle(chunks)
        yield from chunks

    def _step(self, chosen: list[int], rate: float) -> float:
        total = sum(self.train[i].weight for i in chosen)
        loss_sum = 0.0
        self.base.lm.train()
        for part in batches([len(self.train[i]) for i in chosen], self.settings.micro_tokens):
            rows = [chosen[i] for i in part]
            n_tokens = sum(len(self.train[i]) for i in rows)
            with self.base.threads["train"].work(n_tokens):
                loss = self._loss(rows) / total
                loss.backward()
            loss_sum += float(loss.detach())
            self.n_tokens += n_tokens
        self._update(rate)
        self.step_number += 1
        return loss_sum

    def _update(self, rate: float) -> None:
        torch = torch_module()
        for (_, parameter), master in zip(self.weights, self.masters, strict=True):
            master.grad = parameter.grad.float() if parameter.grad is not None else None
            parameter.grad = None
        torch.nn.utils.clip_grad_norm_(self.masters, 1.0)
        for group, lr in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = lr * rate
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self._write_back()

    def _write_back(self) -> None:
        torch = torch_module()
        with torch.no_grad():
            for (_, parameter), master in zip(self.weights, self.masters, strict=True):
                parameter.copy_(master)

    def _loss(self, indices: list[int]) -> Any:
        rows = [self.train[i] for i in indices]
        hidden_BTH = self._hidden(rows, indices)
        if self.heads:
            return sum(
                (row.weight * self._head_loss(hidden_BTH[b, -1].float(), row) for b, row in enumerate(rows)),
                start=hidden_BTH.new_zeros((), dtype=torch_module().float32),
            )
        losses, weights, _, scored = self._token_losses(hidden_BTH, rows)
        values = _of_values((losses.detach() * weights).tolist(), scored, len(rows))
        self._n_left_out += sum(loss > self.limit for loss in values)
        pulls = [0.0 if loss > self.limit else self._pull(loss) for loss in values]
        kept = [rows[s.row].weight * (pulls[s.row] if s.is_value else 1.0) for s in scored]
        return (losses * weights * losses.new_tensor(kept)).sum()

    def _pull(self, loss: float) -> float:
        """Weight in (0, 1] of a row's written values, of which the loss is given; takes note of it."""
        before = statistics.median(self._before) if self._before else math.inf
        self._before.append(loss)
        most = max(LEAST_PULL, self.settings.most_pull * before)
        return 1.0 if not self.settings.most_pull or loss <= most else most / loss

    def _head_loss(self, hidden_H: Any, row: EncodedExample) -> Any:
        torch = torch_module()
        total = hidden_H.new_zeros(())
        for (weights_CH, bias_C), target in zip(self.heads, row.targets, strict=True):
            if target >= 0:
                log_p = torch.log_softmax(weights_CH @ hidden_H + bias_C, dim=-1)
                total = total - log_p[target]
        return total

    def _token_losses(
        self, hidden_BTH: Any, rows: Sequence[EncodedExample]
    ) -> tuple[Any, Any, tuple[Any, Any], list[_Token]]:
        """Of every scored token: loss, weight in its row, (log-probability of the likeliest, whether that is the right
        one), and what it is."""
        torch = torch_module()
        longest = hidden_BTH.shape[1]
        where, tokens, weights, allowed, scored = [], [], [], [], list[_Token]()
        for b, row in enumerate(rows):
            shift = longest - len(row)
            for s in row.scored:
                where.append((b, shift + s.at - 1))
                tokens.append(s.token)
                weights.append(s.weight)
                allowed.append(s.allowed)
                scored.append(_Token(b, s.counts, s.allowed is None))
        device = hidden_BTH.device
        picked = hidden_BTH[[b for b, _ in where], [t for _, t in where]]
        logits = self.base.lm.get_output_embeddings()(picked).float()
        for n, only in enumerate(allowed):
            if only is not None:
                mask = torch.full_like(logits[n], -1e4)
                mask[only] = 0.0
                logits[n] = logits[n] + mask
        aim = torch.tensor(tokens, device=device)
        losses = torch.nn.functional.cross_entropy(logits, aim, reduction="none")
        best, at = logits.detach().max(-1)
        sure = best - torch.logsumexp(logits.detach(), -1)
        return losses, torch.tensor(weights, device=device), (sure, at == aim), scored

    # -- hidden states, with the untouched lower layers done once

    def _hidden(self, rows: Sequence[EncodedExample], indices: Sequence[int] | None = None) -> Any:
        ids_BT, mask_BT, positions_BT = padded(self.base, [r.ids for r in rows])
        self.base.attention_for(ids_BT.shape[1])
        if self.lower is None or indices is None:
            out = self.base.decoder(
                input_ids=ids_BT, attention_mask=mask_BT, position_ids=positions_BT, use_cache=False
            )
            return out.last_hidden_state
        missing = [(b, i) for b, i in enumerate(indices) if i not in self.lower]
        if missing:
            self._fill_lower([i for _, i in missing])
        torch = torch_module()
        kept = [self.lower[i] for i in indices]
        states_BTH = torch.zeros(
            (*ids_BT.shape, self.base.width), dtype=kept[0].dtype, device=self.base.device
        )
        for b, state in enumerate(kept):
            states_BTH[b, -state.shape[0] :] = state.to(self.base.device)
        with self._only(self._first_layer, None):
            out = self.base.decoder(
                inputs_embeds=states_BTH, attention_mask=mask_BT, position_ids=positions_BT, use_cache=False
            )
        return out.last_hidden_state

    @property
    def _first_layer(self) -> int:
        return first_layer(self.base, self.settings)

    def _keep_lower(self) -> dict[int, Any] | None:
        """An empty store for lower outputs, or None where they cannot or need not be kept."""
        first = self._first_layer
        n_bytes = sum(len(r) for r in self.train) * self.base.width * (2 if self.base.dtype == "bf16" else 4)
        if (
            not self.adapter
            or first == 0
            or self.settings.epochs < 2
            or n_bytes > self.settings.cache_gb * 1e9
        ):
            return None
        return {} if self._splits_cleanly(first) else None

    def _splits_cleanly(self, first: int) -> bool:
        """Whether running the lower layers and then the upper ones is the same as running all (not in every model)."""
        torch = torch_module()
        if not hasattr(self.base.decoder, "layers") or not hasattr(self.base.decoder, "norm"):
            return False
        rows = self.train[:2]
        ids_BT, mask_BT, positions_BT = padded(self.base, [r.ids for r in rows])
        shared = {"attention_mask": mask_BT, "position_ids": positions_BT, "use_cache": False}
        with torch.inference_mode():
            whole = self.base.decoder(input_ids=ids_BT, **shared).last_hidden_state[:, -1].float()
            with self._only(0, first):
                lower = self.base.decoder(input_ids=ids_BT, **shared).last_hidden_state
            with self._only(first, None):
                parts = self.base.decoder(inputs_embeds=lower, **shared).last_hidden_state[:, -1].float()
        return bool(torch.allclose(whole, parts, rtol=1e-3, atol=1e-3))

    def _fill_lower(self, indices: Sequence[int]) -> None:
        assert self.lower is not None
        torch = torch_module()
        rows = [self.train[i].ids for i in indices]
        ids_BT, mask_BT, positions_BT = padded(self.base, rows)
        with torch.no_grad(), self._only(0, self._first_layer):
            out = self.base.decoder(
                input_ids=ids_BT, attention_mask=mask_BT, position_ids=positions_BT, use_cache=False
            ).last_hidden_state
        for b, i in enumerate(indices):
            self.lower[i] = out[b, out.shape[1] - len(self.train[i]) :].clone().cpu()

    @contextmanager
    def _only(self, start: int, stop: int | None) -> Iterator[None]:
        """The decoder cut to some of its layers; without the last norm where the top is cut off."""
        torch = torch_module()
        decoder = self.base.decoder
        layers, norm = decoder.layers, decoder.norm
        decoder.layers = torch.nn.ModuleList(layers[start:stop])
        if stop is not None:
            decoder.norm = torch.nn.Identity()
        try:
            yield
        finally:
            decoder.layers, decoder.norm = layers, norm

    # -- dev

    def _judge(self) -> tuple[float, float, float]:
        """(loss, accuracy, coverage) on dev, the answers forced as given; (nan, nan, nan) without dev."""
        if not self.dev:
            return math.nan, math.nan, math.nan
        torch = torch_module()
        self.base.lm.eval()
        losses, right, sure, values = [], [], [], list[float]()
        with torch.inference_mode():
            for part in batches([len(r) for r in self.dev], 2 * self.settings.micro_tokens):
                rows = [self.dev[i] for i in part]
                hidden_BTH = self._hidden(rows)
                if self.heads:
                    for b, row in enumerate(rows):
                        loss, ok, log_p = self._head_verdict(hidden_BTH[b, -1].float(), row)
                        losses.append(loss)
                        right.append(ok)
                        sure.append(log_p)
                    continue
                token_losses, weights, (best, hits), scored = self._token_losses(hidden_BTH, rows)
                sums, oks, logs = [0.0] * len(rows), [True] * len(rows), [0.0] * len(rows)
                weighed = (token_losses * weights).tolist()
                values += _of_values(weighed, scored, len(rows))
                for loss, log_p, hit, s in zip(weighed, best.tolist(), hits.tolist(), scored, strict=True):
                    sums[s.row] += loss
                    if s.counts:
                        oks[s.row] = oks[s.row] and hit
                        logs[s.row] += log_p
                losses += sums
                right += oks
                sure += logs
        if self.settings.skip_hard and len(values) >= MIN_HARD:
            self.limit = max(values)
        wrong_N = 1.0 - np.array(right, dtype=float)
        everyone = np.ones(len(right), dtype=bool)
        shares = [coverage_at(np.array(sure), wrong_N, eps, everyone)[0] for eps in (0.01, 0.02, 0.05)]
        return float(np.mean(losses)), float(np.mean(right)), float(np.mean(shares))

    def _head_verdict(self, hidden_H: Any, row: EncodedExample) -> tuple[float, bool, float]:
        torch = torch_module()
        loss, ok, sure = 0.0, True, 0.0
        for (weights_CH, bias_C), target in zip(self.heads, row.targets, strict=True):
            if target >= 0:
                log_p = torch.log_softmax(weights_CH @ hidden_H + bias_C, dim=-1)
                loss -= float(log_p[target])
                ok = ok and int(log_p.argmax()) == target
                sure += float(log_p.max())
        return loss, ok, sure

    def _remember(self, verdict: tuple[float, float, float]) -> None:
        loss, _, coverage = verdict
        # coverage is what a certificate pays for, but on a small dev set it moves in leaps: there the loss decides
        score = coverage - 1e-3 * loss if len(self.dev) >= 200 else -loss
        if not self.dev:
            score = float(len(self.history))
        elif math.isnan(score):  # the only epoch there was time for
            score = -math.inf
        if score > self.best_score or self.best is None:
            self.best_score = score
            self.best = self._snapshot()

    def _stuck(self) -> bool:
        if not self.dev:
            return False
        last = self.history[-1]
        solved = last.dev_accuracy == 1.0 and last.dev_loss < 0.01 and len(self.history) >= 2
        return solved or len(self.history) - 1 - self._best_epoch() >= self.settings.patience

    def _best_epoch(self) -> int:
        return int(self.best["epoch"]) if self.best is not None else -1

    def _snapshot(self) -> dict[str, Any]:
        return {
            "epoch": len(self.history) - 1,
            "masters": [m.detach().clone() for m in self.masters],
            "heads": [p.detach().clone() for p in self.head_parts],
        }

    def _restore_best(self) -> None:
        torch = torch_module()
        if self.best is not None:
            with torch.no_grad():
                for mine, kept in zip(self.masters, self.best["masters"], strict=True):
                    mine.copy_(kept)
                for mine, kept in zip(self.head_parts, self.best["heads"], strict=True):
                    mine.copy_(kept)
        self._write_back()
        self.base.lm.eval()
        for _, p in self.weights:
            p.requires_grad_(False)
        self.lower = None
        if self.base.device == "cpu":
            self.base.lm.set_attn_implementation("sdpa")

    # -- checkpoints

    def save(self, folder: Path) -> None:
        """Writes everything needed to go on, whole or not at all."""
        from safetensors.torch import save_file

        tensors: dict[str, Any] = {}
        groups = [("master", self.masters), ("head", self.head_parts)]
        if self.best is not None:
            groups += [("best_master", self.best["masters"]), ("best_head", self.best["heads"])]
        for name, parts in groups:
            tensors |= {f"{name}.{i}": p.detach().contiguous() for i, p in enumerate(parts)}
        for i, parameter in enumerate([*self.masters, *self.head_parts]):
            for key, value in self.optimizer.state.get(parameter, {}).items():
                tensors[f"opt.{i}.{key}"] = value.detach().float().contiguous().reshape(value.shape or (1,))
        state = {
            "history": [asdict(e) for e in self.history],
            "best_score": self.best_score,
            "best_epoch": self._best_epoch(),
            "step": self.step_number,
            "tokens": self.n_tokens,
            "busy_s": self.busy_s,
            "limit": self.limit if math.isfinite(self.limit) else None,
        }
        fresh = folder.with_name(folder.name + ".new")
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(parents=True)
        save_file(tensors, fresh / "state.safetensors")
        (fresh / "state.json").write_text(json.dumps(state), "utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        fresh.rename(folder)

    def resume(self, folder: Path) -> bool:
        """Goes back to a checkpoint; False where there is none that fits."""
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        torch = torch_module()
        try:
            state = json.loads((folder / "state.json").read_text("utf-8"))
            tensors = load_file(folder / "state.safetensors", device=self.base.device)
        except (OSError, ValueError, SafetensorError):
            return False
        parts = [*self.masters, *self.head_parts]
        names = [f"master.{i}" for i in range(len(self.masters))] + [
            f"head.{i}" for i in range(len(self.head_parts))
        ]
        if any(n not in tensors or tensors[n].shape != p.shape for n, p in zip(names, parts, strict=True)):
            return False
        with torch.no_grad():
            for name, part in zip(names, parts, strict=True):
                part.copy_(tensors[name])
        for i, part in enumerate(parts):
            kept = {k.split(".", 2)[2]: v for k, v in tensors.items() if k.startswith(f"opt.{i}.")}
            if kept:
                kept["step"] = kept["step"].reshape(())
                self.optimizer.state[part] = kept
        self.history = [EpochResult(**e) for e in state["history"]]
        self.best_score, self.step_number = state["best_score"], state["step"]
        self.n_tokens, self.busy_s = state["tokens"], state["busy_s"]
        self.limit = math.inf if state.get("limit") is None else state["limit"]
        if state["best_epoch"] >= 0:
            self.best = {
                "epoch": state["best_epoch"],
                "masters": [tensors[f"best_master.{i}"] for i in range(len(self.masters))],
                "heads": [tensors[f"best_head.{i}"] for i in range(len(self.head_parts))],
            }
        self._write_back()
        return True


def first_layer(base: LanguageModel, settings: TrainingSettings) -> int:
    """The lowest layer with adapters."""
    return min(base.n_layers - 1, round(base.n_layers * (1 - settings.layers)))


def adapter_settings(base: LanguageModel, settings: TrainingSettings) -> dict[str, Any]:
    """peft settings: every linear projection of the chosen layers."""
    torch = torch_module()
    # a layer that carries another specialist's adapter is wrapped: its name stands one level up
    chosen = sorted(
        {
            name.removesuffix(".base_layer").rsplit(".", 1)[-1]
            for name, module in base.decoder.named_modules()
            if isinstance(module, torch.nn.Linear) and ".lora_" not in name
        }
    )
    out: dict[str, Any] = {
        "r": settings.rank,
        "lora_alpha": settings.alpha,
        "lora_dropout": 0.0,
        "target_modules": chosen,
        "use_dora": settings.method == "dora",
    }
    if first_layer(base, settings) > 0:
        out["layers_to_transform"] = list(range(first_layer(base, settings), base.n_layers))
        out["layers_pattern"] = "layers"
    return out
