"""Trains the encoder of the tagger that ships; `python -m benchmarks.train_default_tagger --part encoder` calls this.

It learns from the lines that the network over words learns from, with fewer made-up ones. Needs torch and Faker.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from deputize.core.errors import BadInput
from deputize.core.progress import Progress
from deputize.core.records import decode, encode
from deputize.privacy.tagger.default.default_tagger import CARD, ENCODER, DefaultTaggerCard
from deputize.privacy.tagger.default.encoder_codes import encoder_codes
from deputize.privacy.tagger.default.encoder_pieces import read_encoder
from deputize.privacy.tagger.default.encoder_table import EncoderTable, with_more_pieces
from deputize.privacy.tagger.default.encoder_training import (
    NARROW,
    WIDE,
    EncoderSettings,
    PieceBatches,
    build_encoder,
    encode_pieces,
    fit_encoder,
    narrowed,
    save_encoder,
)
from deputize.privacy.tagger.default.generated_text import generators
from deputize.privacy.tagger.default.line_pieces import LineSplitter
from deputize.privacy.tagger.default.name_lists import read_name_lists
from deputize.privacy.tagger.default.pieces import PieceVectors
from deputize.privacy.tagger.default.plain_text import read_plain_words
from deputize.privacy.tagger.default.train_default import read_pieces, training_lines
from deputize.specialists.torch_runtime import torch_module

GENERATED_LINES: dict[str, int] = {
    "tr": 5000,
    "ar": 5000,
    "zh": 6000,
    "ja": 6000,
    "hi": 2000,
    "ko": 1000,
    "ru": 1200,
    "en": 3000,
    "de": 1500,
    "fr": 2000,
    "es": 1000,
    "pt": 1500,
    "pl": 1500,
    "it": 800,
    "nl": 800,
    "cs": 800,
}
EMBEDDED_SHARE: dict[str, float] = {
    "ja": 0.25,
    "zh": 0.25,
    "ar": 0.25,
    "tr": 0.15,
    "ko": 0.2,
    "ru": 0.2,
    "hi": 0.1,
}
"""Share of the made-up lines in which a name stands in a plain line: less than the network over words is given, for what the encoder
knows keeps it from learning frames by heart."""
CHECKPOINT, CODES, SAVED_EVERY = "encoder.pt", "codes.npz", 400


def train_encoder(
    corpus: Path,
    archives: Path,
    out: Path,
    *,
    steps: Sequence[int] | None,
    seconds: float,
    seed: int,
    clean: Path | None = None,
    progress: Progress,
    settings: tuple[EncoderSettings, EncoderSettings] = (WIDE, NARROW),
) -> DefaultTaggerCard:
    """Trains in two parts for so many steps each, or about half of so many seconds, and writes the weights beside those of the network over words.

    Args:
        corpus: LANGUAGE.jsonl.gz files.
        archives: those of encoder_pieces, plain_text and name_lists; only the first has to be there.
        out: folder with the card of train_default, which is told of the encoder.
        steps: of each part; None: as many as the seconds allow.
        seconds: read where there are no steps.
        seed: of everything that is drawn.
        clean: folder with utterances that hold hardly a name.
        progress: called after steps.
        settings: of each part; the encoder is made smaller between them.

    Raises:
        BadInput: the archive of the encoder is missing, or out holds no card.
    """
    torch = torch_module()
    torch.set_num_threads(1)
    card = _card(out)
    arrays = with_more_pieces(read_pieces(archives, out) | _codes(archives, out))
    by_language = generators(read_plain_words(archives), seed, read_name_lists(archives), EMBEDDED_SHARE)
    lines, _ = training_lines(corpus, by_language, seed, GENERATED_LINES, clean)
    encoded = encode_pieces(
        [(line.sample, line.covers, line.weight) for line in lines], LineSplitter(PieceVectors(arrays))
    )
    table = EncoderTable(arrays)
    parts = [part._replace(seed=part.seed + seed) for part in settings]
    model, done = build_encoder(read_encoder(archives), parts[0]), []
    for number, part in enumerate(parts):
        batches = PieceBatches(encoded, table, part)
        model = narrowed(model, batches, part) if number else model
        early: dict[str, Any] = {}
        done.append(
            fit_encoder(
                model,
                batches,
                part,
                steps=steps[number] if steps else None,
                seconds=seconds / 2,
                progress=progress,
                after_step=partial(_keep, model, out / CHECKPOINT, part.averaged_step, early),
            )
        )
        if early:
            model.load_state_dict({n: (early[n] + t) / 2 for n, t in model.state_dict().items()})
        torch.save(model.state_dict(), out / CHECKPOINT)
    return write_encoder(model, parts[1], out, card, steps=done, n_lines=len(lines))


def write_encoder(
    model: Any,
    settings: EncoderSettings,
    out: Path,
    card: DefaultTaggerCard,
    *,
    steps: Sequence[int],
    n_lines: int,
) -> DefaultTaggerCard:
    """Writes the weights of an encoder and its table, and the card that names them."""
    with np.load(out / CODES, allow_pickle=False) as codes:
        arrays = dict(codes)
    with (out / ENCODER).open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays, **save_encoder(model, settings))
    digest = hashlib.sha256((out / ENCODER).read_bytes()).hexdigest()
    card = msgspec.structs.replace(
        card,
        encoder_steps=list(steps),
        encoder_lines=n_lines,
        checksums=card.checksums | {ENCODER: digest},
    )
    (out / CARD).write_bytes(encode(card))
    return card


def _card(folder: Path) -> DefaultTaggerCard:
    """The card of the network over words."""
    try:
        return decode((folder / CARD).read_bytes(), DefaultTaggerCard)
    except (OSError, msgspec.MsgspecError) as error:
        raise BadInput(
            f"{folder} holds no {CARD}: train the network over words first, or copy that of the package there"
        ) from error


def _codes(archives: Path, out: Path) -> dict[str, NDArray[Any]]:
    """The packed vectors of all pieces; worked out once and kept beside the checkpoints."""
    if not (out / CODES).exists():
        with (out / CODES).open("wb") as file:
            found = encoder_codes(archives, read_pieces(archives, out))
            np.savez_compressed(file, allow_pickle=False, **found)
    with np.load(out / CODES, allow_pickle=False) as arrays:
        return dict(arrays)


def _keep(model: Any, path: Path, early_step: int, early: dict[str, Any], step: int) -> None:
    """Saves a checkpoint now and then, and copies the weights of a step into `early`."""
    if step % SAVED_EVERY == 0:
        torch_module().save(model.state_dict(), path)
    if step == early_step:
        early.update({name: tensor.clone() for name, tensor in model.state_dict().items()})
