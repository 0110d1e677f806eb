"""Training of the encoder from files to weights that LineEncoder reads."""

from __future__ import annotations

import json
import shutil
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import pytest
from tests.unit.privacy.tagger.default.test_line_encoder import WIDE, table_arrays

from deputize.core.errors import BadInput
from deputize.core.records import decode
from deputize.privacy.tagger.default import train_encoder as module
from deputize.privacy.tagger.default.default_tagger import (
    CARD,
    ENCODER,
    FOLDER,
    WEIGHTS,
    DefaultTaggerCard,
    load_default_tagger,
)
from deputize.privacy.tagger.default.encoder_table import EncoderTable, with_more_pieces
from deputize.privacy.tagger.default.encoder_training import (
    EncoderSettings,
    PieceBatches,
    encode_pieces,
    save_encoder,
    state_of,
    untrained,
)
from deputize.privacy.tagger.default.line_encoder import LineEncoder
from deputize.privacy.tagger.default.line_pieces import LineSplitter
from deputize.privacy.tagger.default.pieces import PieceVectors
from deputize.privacy.tagger.default.train_default import read_pieces
from deputize.privacy.tagger.default.train_encoder import CODES, train_encoder, write_encoder
from deputize.privacy.tagger.default.words import words_of
from deputize.privacy.tagger.labelled_text import Sample

torch = pytest.importorskip("torch")


def test_weights_are_written_and_the_card_is_told(tmp_path: Path) -> None:
    settings = EncoderSettings(inner=(32,), frozen=0)
    arrays = table_arrays()
    table = {name: a for name, a in arrays.items() if name.startswith("table.")}
    np.savez(tmp_path / CODES, allow_pickle=False, **table)
    card = write_encoder(
        untrained(WIDE, settings), settings, tmp_path, load_default_tagger().card, steps=[3, 4], n_lines=9
    )
    assert decode((tmp_path / CARD).read_bytes(), DefaultTaggerCard) == card
    assert (card.encoder_steps, card.encoder_lines) == ([3, 4], 9) and len(card.checksums[ENCODER]) == 64
    with np.load(tmp_path / ENCODER) as written:
        both = {**arrays, **written}
    (found,) = LineEncoder(both, PieceVectors(both)).probabilities(["Mia"], [[(0, 3)]], [np.array([True])])
    assert found.shape == (1, 8) and (found > 0).all()


def test_without_the_first_network_it_is_said(tmp_path: Path) -> None:
    (tmp_path / CARD).write_text(json.dumps({"types": 3}))
    with pytest.raises(BadInput, match="first"):
        train_encoder(
            tmp_path, tmp_path, tmp_path, steps=[1] * 4, seconds=0, seed=0, progress=lambda *_: None
        )


def test_fewer_made_up_names_stand_in_plain_lines() -> None:
    from deputize.privacy.tagger.default import generated_text, train_default

    assert all(share < generated_text.EMBEDDED_SHARE[name] for name, share in module.EMBEDDED_SHARE.items())
    assert all(n < train_default.GENERATED_LINES[name] for name, n in module.GENERATED_LINES.items())


def test_the_last_part_gives_a_running_mean_and_the_second_an_average(tmp_path: Path) -> None:
    settings = EncoderSettings(inner=(32,), frozen=0)
    for part, wanted in (
        (settings._replace(running_mean=0.5), 1.25),
        (settings._replace(running_mean=0.5, averaged_steps=(0, 10)), (0 + 0.5 + 1.25) / 3),
        (settings._replace(averaged_steps=(10,)), (1 + 2) / 2),
    ):
        model = untrained(WIDE, settings)
        model.out.bias.data[:] = 0
        kept = module._KeptWeights(model, part, tmp_path, 2)
        for step, value in ((10, 1.0), (15, 9.0), (module.SAVED_EVERY, 2.0)):
            model.out.bias.data[:] = value
            kept.after_step(step)
        assert kept.result()["out.bias"].tolist() == pytest.approx([wanted] * 8)
        saved = torch.load(tmp_path / module.CHECKPOINTS.format(2, module.SAVED_EVERY), weights_only=True)
        assert saved["out.bias"][0].item() == (1.25 if part.running_mean else 2.0)


def test_only_the_late_parts_learn_from_more_frames() -> None:
    settings, mixes = zip(*module.PARTS, strict=True)
    assert [mix.more for mix in mixes] == [(), (), ("more",), ("more", "last")]
    assert [len(part.inner) for part in settings] == [6, 4, 4, 4] and settings[1].inner == settings[3].inner


def test_training_goes_on_with_the_weights_that_ship(tmp_path: Path) -> None:
    """torch gives the probabilities of LineEncoder for the pieces, vectors and weights of encoder.npz."""
    package = files(FOLDER)
    with as_file(package / ENCODER) as encoder, as_file(package / WEIGHTS) as weights:
        shutil.copy(weights, tmp_path / WEIGHTS)
        module._keep_table(encoder, tmp_path)
        model = module._first_model(tmp_path, module.PARTS[-1][0], encoder)
        arrays = with_more_pieces(read_pieces(tmp_path, tmp_path) | module._codes(tmp_path, tmp_path))
        with np.load(encoder) as written:
            reader = LineEncoder({**arrays, **written}, PieceVectors(arrays))
    lines = ["Mia Torres asked for the order", "Günter Grass wohnt in Lübeck", "田中さんは東京に住む"]
    words = [words_of(line) for line in lines]
    splitter = LineSplitter(PieceVectors(arrays))
    samples = [(Sample(id="1", text=line), frozenset(["PERSON"]), 1.0) for line in lines]
    batches = PieceBatches(encode_pieces(samples, splitter), EncoderTable(arrays), module.PARTS[-1][0])
    wanted = reader.probabilities(lines, words, [np.ones(len(one), dtype=bool) for one in words])
    for number, (line, of_line, expected) in enumerate(zip(lines, words, wanted, strict=True)):
        with torch.no_grad():
            found = torch.sigmoid(model(*batches.tensors(np.array([number]), None)[:4]))[0, 1:-1].numpy()
        for piece, (first, end) in enumerate(splitter.split(line, of_line).words):
            if end - first == 1 and splitter.split(line, of_line).words.count((first, end)) == 1:
                assert found[piece] == pytest.approx(expected[first], abs=0.01)
        assert expected[:, 0].max() > 0.5


def test_rounded_weights_are_rounded_to_themselves() -> None:
    settings = EncoderSettings(inner=(32,), frozen=0)
    written = save_encoder(untrained(WIDE, settings), settings)
    again = untrained(WIDE, settings)
    again.load_state_dict(state_of(written))
    twice = save_encoder(again, settings)
    assert written.keys() == twice.keys()
    for name, array in written.items():
        assert np.allclose(array.astype(np.float32), twice[name].astype(np.float32), rtol=2e-3, atol=1e-6), (
            name
        )
