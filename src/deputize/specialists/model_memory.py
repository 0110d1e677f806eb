"""Memory that a model takes to train and to serve, computed from its row, and what of that a machine has.

Estimates: they say what is worth trying, and err on the large side. GB are 10^9 bytes.

References:
    Korthikanti et al., "Reducing Activation Recomputation in Large Transformer Models", arXiv 2205.05198, section 4
    (activations of a layer); Dettmers et al., "QLoRA", arXiv 2305.14314 (int4: 64 weights share a scale, embeddings
    stay as they are).
"""

from __future__ import annotations

from typing import Literal

from deputize.core.records import Record
from deputize.specialists.catalogue import Model, kv_layers
from deputize.specialists.hardware import Hardware

Precision = Literal["fp32", "bf16", "int8", "int4"]
PRECISIONS: tuple[Precision, ...] = ("bf16", "int8", "int4")
"""From the best to the smallest."""
_BYTES = {"fp32": 4.0, "bf16": 2.0, "int8": 1.0625, "int4": 0.5625}
"""Bytes a parameter takes; int8 and int4 with their scales (16 bits for each 32 weights, as in GGUF's Q8_0 and
Q4_0)."""
TRAINING_TOKENS = 2048
"""Of one micro-batch."""
SERVING_TOKENS = 8192
"""Of all requests answered at once: four of 2,048."""
_ADAPTER_RANK, _ADAPTER_SHARE = 16, 0.04
"""Of an adapter on all linear layers, and its part of a model's parameters where the shape is not known."""
_TRAINED_BYTES = 16
"""Of a parameter that is trained: weight, gradient, master copy in 32 bits, two moments."""
_ACTIVATION_BYTES = 34
"""For each token, layer and unit of width, of what a layer keeps for its backward pass."""
_RUNTIME_GB = 1.0
"""Python, torch and its buffers."""
_UNKNOWN_GB = 1.0
"""Activations, or a cache, of a model whose shape is not known."""
SHARE = 0.8
"""Part of the memory that may be planned for."""


class Fit(Record):
    """Precisions at which a machine can train and serve a model, and the memory that takes."""

    train: Precision | Literal[""] = ""
    """The best precision of the weights under an adapter; "": none fits."""
    train_gb: float = 0.0
    serve: Precision | Literal[""] = ""
    serve_gb: float = 0.0
    budget_gb: float = 0.0
    why: str = ""
    """Why it cannot be trained, or served, here; "" where it can be both."""


def weights_gb(model: Model, precision: Precision) -> float:
    """GB of the weights. Below 16 bits the embeddings stay at 16, which for small models with large vocabularies is
    much."""
    shape, n_bytes = model.shape, _BYTES[precision]
    embeddings = (shape.vocab or 0) * (shape.hidden or 0) * (2 if shape.tied_embeddings is False else 1) / 1e6
    embeddings = min(embeddings, model.params_m)
    if precision in ("int8", "int4"):
        return (embeddings * 2.0 + (model.params_m - embeddings) * n_bytes) / 1e3
    return model.params_m * n_bytes / 1e3


def kv_cache_gb(model: Model, n_tokens: int = 1000) -> float | None:
    """GB of keys and values of `n_tokens` tokens in bf16, one request; 0 for an encoder, None where the shape is not
    known."""
    shape, layers = model.shape, kv_layers(model.shape)
    if model.role != "lm":
        return 0.0
    if not (layers and shape.kv_heads and shape.head_dim):
        return None
    kept = (layers - shape.window_layers) * n_tokens + shape.window_layers * min(
        n_tokens, shape.window or n_tokens
    )
    return 2 * kept * shape.kv_heads * shape.head_dim * 2 / 1e9


def training_gb(model: Model, precision: Precision = "bf16") -> float:
    """GB that training an adapter on weights of this precision takes; an encoder is trained whole, in 32 bits."""
    shape = model.shape
    if shape.layers and shape.hidden:
        activations = TRAINING_TOKENS * shape.layers * shape.hidden * _ACTIVATION_BYTES / 1e9
    else:
        activations = _UNKNOWN_GB
    if model.role != "lm":
        return model.params_m * _TRAINED_BYTES / 1e3 + 2 * activations + _RUNTIME_GB
    adapter = _adapter_params_m(model) * _TRAINED_BYTES / 1e3
    return weights_gb(model, precision) + adapter + activations + _RUNTIME_GB


def _adapter_params_m(model: Model) -> float:
    s = model.shape
    if not (s.layers and s.hidden and s.intermediate and s.heads and s.kv_heads and s.head_dim):
        return model.params_m * _ADAPTER_SHARE
    attention = 2 * (2 * s.hidden + s.head_dim * (s.heads + s.kv_heads))
    feed_forward = (3 if s.gated_mlp else 2) * (s.hidden + s.intermediate)
    return s.layers * _ADAPTER_RANK * (attention + feed_forward) / 1e6


def serving_gb(model: Model, precision: Precision = "bf16", n_tokens: int = SERVING_TOKENS) -> float:
    """GB that serving takes: weights, keys and values of `n_tokens` tokens in four requests, runtime."""
    cache = kv_cache_gb(model, n_tokens // 4)
    return weights_gb(model, precision) + (_UNKNOWN_GB if cache is None else 4 * cache) + _RUNTIME_GB


def budget_gb(machine: Hardware) -> float:
    """GB that may be planned for: of the largest accelerator, or of main memory where that is more."""
    return SHARE * max(machine.memory_gb, machine.accelerator_gb)


def fit(model: Model, machine: Hardware) -> Fit:
    """The best precision of a model that fits the machine, for training and for serving."""
    budget = budget_gb(machine)
    if not model.hub and model.wheel is None and model.licence == "unreleased":
        return Fit(budget_gb=budget, why="it has no public weights")
    options: tuple[Precision, ...] = ("bf16", "int4") if model.role == "lm" else ("fp32",)
    train = next((p for p in options if training_gb(model, p) <= budget), None)
    serve = next((p for p in PRECISIONS if serving_gb(model, p) <= budget), None)
    least_train, least_serve = training_gb(model, options[-1]), serving_gb(model, "int4")
    why = ""
    if not train:
        why = f"to train it takes about {least_train:.1f} GB in {options[-1]}, and {budget:.1f} GB may be used here"
    if not serve:
        why = f"to serve it takes about {least_serve:.1f} GB in int4, and {budget:.1f} GB may be used here"
    return Fit(
        train=train or "",
        train_gb=round(training_gb(model, train or options[-1]), 2),
        serve=serve or "",
        serve_gb=round(serving_gb(model, serve or "int4"), 2),
        budget_gb=round(budget, 2),
        why=why,
    )


def counted_params_m(model: Model) -> float | None:
    """Millions of parameters counted from the shape of a dense transformer; None where it is not known, or not all
    layers attend."""
    s = model.shape
    if s.attention_layers or not (
        s.layers and s.hidden and s.intermediate and s.heads and s.kv_heads and s.head_dim and s.vocab
    ):
        return None
    attention = 2 * s.hidden * s.head_dim * (s.heads + s.kv_heads)
    feed_forward = (3 if s.gated_mlp else 2) * s.hidden * s.intermediate
    embeddings = s.vocab * s.hidden * (2 if s.tied_embeddings is False else 1)
    return (s.layers * (attention + feed_forward) + embeddings) / 1e6
