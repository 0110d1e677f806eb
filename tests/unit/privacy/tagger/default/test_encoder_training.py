"""Training of the encoder on a few lines."""

from __future__ import annotations

import pytest
from tests.unit.privacy.tagger.default.test_line_encoder import WIDE, asked, table_arrays

from deputize.privacy.tagger.default.encoder_table import EncoderTable
from deputize.privacy.tagger.default.line_encoder import LineEncoder
from deputize.privacy.tagger.default.line_pieces import LineSplitter
from deputize.privacy.tagger.default.pieces import PieceVectors
from deputize.privacy.tagger.default.words import words_of
from deputize.privacy.tagger.labelled_text import Label, Sample


def test_training_learns_names_and_a_smaller_encoder_keeps_them() -> None:
    pytest.importorskip("torch")
    from deputize.privacy.tagger.default.encoder_training import (
        EncoderSettings,
        PieceBatches,
        encode_pieces,
        fit_encoder,
        narrowed,
        save_encoder,
        untrained,
    )

    arrays = table_arrays()
    samples = [
        (
            Sample(id="1", text="ask Mia Torres", spans=[Label(type="PERSON", start=4, end=14)]),
            frozenset(["PERSON"]),
            1.0,
        ),
        (Sample(id="2", text="ask the order"), frozenset(["PERSON"]), 1.0),
    ]
    encoded = encode_pieces(samples, LineSplitter(PieceVectors(arrays)))
    wide = EncoderSettings(inner=(64, 64), frozen=1, piece_dropout=0, warm_steps=1, rate=2e-3)
    small = wide._replace(inner=(32,), frozen=0, falling_share=0.5)
    model = untrained(WIDE, wide)
    table = EncoderTable(arrays)
    assert fit_encoder(model, PieceBatches(encoded, table, wide), wide, steps=30, seconds=0) == 30
    batches = PieceBatches(encoded, table, small)
    model = narrowed(model, batches, small)
    clock = iter(range(1000))
    done = fit_encoder(model, batches, small, steps=None, seconds=60, clock=lambda: float(next(clock)))
    assert done == pytest.approx(60, abs=4)  # half of the time at the full rate, as many steps while it falls
    encoder = LineEncoder({**arrays, **save_encoder(model, small)}, PieceVectors(arrays))
    lines = ["ask Mia Torres", "ask the order"]
    words = [words_of(line) for line in lines]
    named, other = encoder.probabilities(lines, words, asked(words))
    assert (named[1:, 0] > 0.5).all() and named[0, 0] < 0.5 and (other[:, 0] < 0.5).all()
