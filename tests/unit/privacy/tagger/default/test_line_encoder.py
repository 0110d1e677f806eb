"""The encoder in numpy: which pieces are read together, and that it says what torch says."""

from __future__ import annotations

import numpy as np
import pytest

from deputize.privacy.tagger.default.encoder_pieces import packed_pieces, packed_text
from deputize.privacy.tagger.default.encoder_table import (
    AXES,
    BOOKS,
    CENTRE,
    CODES,
    MORE_SCORES,
    MORE_TEXT,
    OTHERS,
    OTHERS_SCALE,
    SPREAD,
    EncoderTable,
    with_more_pieces,
)
from deputize.privacy.tagger.default.line_encoder import BATCH_PIECES, CONTEXT, MAX_PIECES, LineEncoder, cuts
from deputize.privacy.tagger.default.line_pieces import LineSplitter
from deputize.privacy.tagger.default.pieces import PieceVectors
from deputize.privacy.tagger.default.words import words_of
from deputize.privacy.tagger.labelled_text import Sample

WORDS = ["▁ask", "▁Mia", "▁Tor", "res", "▁the", "▁order", "東京", "の"]
WIDE = 48


def table_arrays() -> dict[str, np.ndarray]:
    """A small vocabulary with vectors, as the package's files have them."""
    rng = np.random.default_rng(0)
    n = len(WORDS) + 3  # unknown, start and end
    return with_more_pieces(
        {
            **packed_pieces(
                WORDS,
                np.full(len(WORDS), -3, dtype=np.float32),
                rng.normal(size=(len(WORDS), 8)).astype(np.float32),
            ),
            AXES: (rng.normal(size=(WIDE, WIDE)) / 7).astype(np.float16),
            CENTRE: np.zeros(WIDE, dtype=np.float32),
            CODES: rng.integers(256, size=(n + 1, 5)).astype(np.uint8),
            BOOKS: rng.normal(size=(5, 256, 8)).astype(np.float16),
            OTHERS: np.ones((4, 8), dtype=np.int8),
            OTHERS_SCALE: np.ones((4, 1), dtype=np.float16),
            SPREAD: np.ones(n + 1, dtype=np.float16),
            MORE_TEXT: packed_text(["!"]),
            MORE_SCORES: np.array([-3], dtype=np.float16),
        }
    )


def asked(words: list[list[tuple[int, int]]]) -> list[np.ndarray]:
    return [np.ones(len(found), dtype=bool) for found in words]


def test_what_is_read_together() -> None:
    wanted = np.zeros(400, dtype=bool)
    assert cuts(wanted) == []
    wanted[[5, 8]] = True
    assert cuts(wanted) == [(0, 8 + CONTEXT + 1)]
    wanted[399] = True
    assert cuts(wanted) == [(0, 8 + CONTEXT + 1), (399 - CONTEXT, 400)]
    wanted[:] = True
    stretches = cuts(wanted)
    assert {i for a, b in stretches for i in range(a, b)} == set(range(400))
    assert all(b - a <= MAX_PIECES for a, b in stretches)


@pytest.fixture(scope="module")
def trained() -> tuple[LineEncoder, object, dict[str, np.ndarray]]:
    """A small encoder in numpy and in torch."""
    torch = pytest.importorskip("torch")
    from deputize.privacy.tagger.default.encoder_training import EncoderSettings, save_encoder, untrained

    settings = EncoderSettings(inner=(64, 32), frozen=1, seed=3)
    model = untrained(WIDE, settings)
    with torch.no_grad():
        for parameter in (model.edges, model.places, model.forms):
            parameter.normal_(std=0.5)
    arrays = {**table_arrays(), **save_encoder(model, settings)}
    return LineEncoder(arrays, PieceVectors(arrays)), model, arrays


LINES = ["ask Mia Torres", "the order", "東京の MIA!", "", "ask the order " * 30]


def test_it_says_what_torch_says(trained: tuple[LineEncoder, object, dict[str, np.ndarray]]) -> None:
    import torch

    from deputize.privacy.tagger.default.encoder_training import (
        EncoderSettings,
        PieceBatches,
        encode_pieces,
    )

    encoder, model, arrays = trained
    lines = LINES[:3]
    words = [words_of(line) for line in lines]
    found = encoder.probabilities(lines, words, asked(words))
    samples = [(Sample(id=line, text=line), frozenset(["PERSON"]), 1.0) for line in lines]
    splitter = LineSplitter(PieceVectors(arrays))
    batches = PieceBatches(encode_pieces(samples, splitter), EncoderTable(arrays), EncoderSettings())
    *inputs, _, _ = batches.tensors(np.arange(3), None)
    with torch.no_grad():
        wanted = torch.sigmoid(model(*inputs)).numpy()  # type: ignore[operator]
    for i, (line, of_line) in enumerate(zip(lines, found, strict=True)):
        split = splitter.split(line, words[i])
        for word in range(len(words[i])):
            pieces = [1 + p for p, (a, b) in enumerate(split.words) if a <= word < b]
            assert np.allclose(of_line[word], wanted[i, pieces].mean(axis=0), atol=0.02)


def test_other_lines_of_the_batch_and_padding_change_nothing(
    trained: tuple[LineEncoder, object, dict[str, np.ndarray]],
) -> None:
    encoder = trained[0]
    words = [words_of(line) for line in LINES]
    together = encoder.probabilities(LINES, words, asked(words))
    for line, found, of_line in zip(LINES, words, together, strict=True):
        (alone,) = encoder.probabilities([line], [found], asked([found]))
        assert alone.shape == (len(found), 8) and np.allclose(alone, of_line, atol=1e-4)
    assert all((of_line > 0).all() for of_line in together)


def test_words_far_from_all_that_are_asked_about_are_nothing(
    trained: tuple[LineEncoder, object, dict[str, np.ndarray]],
) -> None:
    line = "the " * 60
    of_line = np.arange(60) == 20
    (found,) = trained[0].probabilities([line], [words_of(line)], [of_line])
    near = np.abs(np.arange(60) - 20) <= CONTEXT
    assert found[near].all() and not found[~near].any()


def test_long_stretches_do_not_pad_short_ones(
    trained: tuple[LineEncoder, object, dict[str, np.ndarray]], monkeypatch: pytest.MonkeyPatch
) -> None:
    encoder = trained[0]
    sizes: list[list[int]] = []
    read = encoder._run

    def seen(rows: np.ndarray, forms: np.ndarray, of_stretches: np.ndarray) -> np.ndarray:
        sizes.append(of_stretches.tolist())
        return read(rows, forms, of_stretches)

    monkeypatch.setattr(encoder, "_run", seen)
    lines = ["the"] * 2000 + ["the order"] * 150 + ["the " * 60]
    words = [words_of(line) for line in lines]
    encoder.probabilities(lines, words, asked(words))
    assert sum(map(len, sizes)) == len(lines)
    assert all((max(of_batch) + 2) * len(of_batch) <= BATCH_PIECES for of_batch in sizes)
    assert [sorted(set(of_batch)) for of_batch in sizes[-2:]] == [[2], [60]]
