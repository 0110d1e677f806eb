"""Kinds of specialists by name."""

from __future__ import annotations

import pytest

from deputize.core.errors import BadInput
from deputize.specialists.answer_cache import CachePredictor
from deputize.specialists.cascade import CascadePredictor
from deputize.specialists.classification_head import HeadPredictor
from deputize.specialists.decoder import DecoderPredictor
from deputize.specialists.linear_model import LinearPredictor, load_linear
from deputize.specialists.listed_answers import ListedPredictor
from deputize.specialists.listed_writer import ListedWriter
from deputize.specialists.pointer_predictor import PointerPredictor
from deputize.specialists.registry import OURS, loader_of
from deputize.specialists.sampled_answers import SampledPredictor
from deputize.specialists.state_heads import StateHeadPredictor
from deputize.specialists.tooled_answers import TooledPredictor
from deputize.specialists.verified_answers import VerifiedPredictor

PREDICTORS = (
    CachePredictor,
    LinearPredictor,
    PointerPredictor,
    ListedPredictor,
    ListedWriter,
    StateHeadPredictor,
    CascadePredictor,
    HeadPredictor,
    DecoderPredictor,
    SampledPredictor,
    VerifiedPredictor,
    TooledPredictor,
)


def test_every_kind_of_predictor_has_a_loader() -> None:
    kinds = {p.kind for p in PREDICTORS}
    assert kinds == set(OURS)
    assert all(callable(loader_of(kind)) for kind in OURS)
    assert loader_of("linear") is load_linear
    assert [loader_of(kind).__name__ for kind in OURS] == [f"load_{kind}" for kind in OURS]


def test_an_unknown_kind_is_named_with_the_known_ones() -> None:
    with pytest.raises(
        BadInput,
        match=r"'oracle'\. Known: cache, linear, pointer, listed, listed_writer, states, cascade, head, decoder, self_consistency",
    ):
        loader_of("oracle")
