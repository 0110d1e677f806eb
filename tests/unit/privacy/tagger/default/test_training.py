"""The network learns, and numpy computes from its written weights what torch computes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deputize.privacy.tagger.default.encoder_pieces import packed_pieces
from deputize.privacy.tagger.default.numpy_network import NumpyNetwork
from deputize.privacy.tagger.default.pieces import PieceVectors
from deputize.privacy.tagger.default.training import (
    TYPES,
    Batches,
    FeatureIndex,
    NetworkSettings,
    arrays_of,
    build,
    encode_lines,
    fit,
    save_arrays,
    weights_of_lines,
)
from deputize.privacy.tagger.labelled_text import Label, Sample

pytest.importorskip("torch")
SETTINGS = NetworkSettings(width=16, table_widths=(8, 8, 8, 8), dilations=(1, 2), batch_words=40)
PEOPLE = frozenset(["PERSON"])
PIECES = packed_pieces(
    ["▁Mia", "▁Tor", "res", "▁now", "▁ask"],
    np.arange(-5.0, 0.0, dtype=np.float32),
    np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32),
)
VECTORS = PieceVectors(PIECES)


def sample(text: str, name: str = "", kind: str = "PERSON") -> Sample:
    at = text.index(name) if name else 0
    return Sample(id=text, text=text, spans=[Label(type=kind, start=at, end=at + len(name))] if name else [])


LINES = [
    (sample("ask Mia Torres now", "Mia Torres"), PEOPLE),
    (sample("ask the desk now\nMia Torres left", "Mia Torres"), PEOPLE),
    (sample("in Rome now", "Rome", "LOCATION"), PEOPLE),
]


def test_lines_as_arrays() -> None:
    index = FeatureIndex()
    encoded = encode_lines(LINES, index)
    assert encoded.starts_N1.tolist() == [0, 4, 8, 11, 14]
    assert (
        encoded.targets_TK[:, TYPES.index("PERSON")].tolist() == [0, 1, 1, 0] + [0] * 4 + [1, 1, 0] + [0] * 3
    )
    assert encoded.covered_NK.sum() == 4 and encoded.targets_TK[12, TYPES.index("LOCATION")] == 1
    assert weights_of_lines([(s, w) for (s, _), w in zip(LINES, (1.0, 0.5, 2.0), strict=True)]).tolist() == [
        1,
        0.5,
        0.5,
        2,
    ]


def test_what_is_not_labelled_in_a_corpus_changes_nothing() -> None:
    """LOCATION is outside of what the lines cover, so that its output gets no gradient."""
    index = FeatureIndex()
    encoded = encode_lines(LINES, index)
    model = build(SETTINGS, VECTORS.width)
    before = model.out.weight.detach().clone()
    fit(
        model,
        Batches(encoded, index, SETTINGS, VECTORS),
        None,
        SETTINGS,
        seconds=9,
        clock=iter(range(100)).__next__,
    )
    moved = (model.out.weight.detach() - before).abs().sum(1)
    # weight decay alone moves an output by less than a hundredth of a step
    assert moved[TYPES.index("PERSON")] > 50 * moved[TYPES.index("LOCATION")]


def test_numpy_computes_what_torch_does(tmp_path: Path) -> None:
    index = FeatureIndex()
    texts = [s.text for s, _ in LINES for _ in (0,)]
    encoded = encode_lines(LINES, index)
    model = build(SETTINGS, VECTORS.width)
    batches = Batches(encoded, index, SETTINGS, VECTORS)
    fit(model, batches, None, SETTINGS, seconds=30, clock=iter(range(200)).__next__)
    *inputs, _, _ = batches.tensors(np.arange(4), None)
    model.eval()
    wanted = 1 / (1 + np.exp(-model(*inputs, 4).detach().numpy()))
    save_arrays(arrays_of(model), PIECES, tmp_path / "weights.npz")
    with np.load(tmp_path / "weights.npz") as arrays:
        network = NumpyNetwork(dict(arrays), SETTINGS.dilations)
    lines = [line for text in texts for line in text.split("\n")]
    found = np.concatenate([p for _, p in network.scores(lines)])
    assert np.abs(found - wanted).max() < 0.02
    alone = np.concatenate([network.scores([line])[0][1] for line in lines])
    assert np.allclose(alone, found, atol=1e-5)  # lines do not see each other


def test_a_few_passes_learn_a_name() -> None:
    index = FeatureIndex()
    encoded = encode_lines(LINES * 10, index)
    settings = SETTINGS._replace(word_dropout=0.1)
    model = build(settings, VECTORS.width)
    batches = Batches(encoded, index, settings, VECTORS)
    passes = fit(model, batches, None, settings, seconds=300, clock=iter(range(1000)).__next__)
    *inputs, _, _ = batches.tensors(np.arange(4), None)
    person = model.eval()(*inputs, 4).detach().numpy()[:, TYPES.index("PERSON")] > 0
    assert (
        passes > 5 and person.tolist() == encoded.targets_TK[:14, TYPES.index("PERSON")].astype(bool).tolist()
    )
