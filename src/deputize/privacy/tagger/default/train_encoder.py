"""Trains the encoder of the tagger that ships; `python -m benchmarks.train_default_tagger --part encoder` calls this.

It learns from the lines that the network over words learns from, with fewer made-up ones. Needs torch and Faker.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from deputize.core.errors import BadInput
from deputize.core.progress import Progress
from deputize.core.records import decode, encode
from deputize.privacy.tagger.default.default_tagger import (
    CARD,
    ENCODER,
    WEIGHTS,
    DefaultTaggerCard,
)
from deputize.privacy.tagger.default.encoder_codes import encoder_codes
from deputize.privacy.tagger.default.encoder_pieces import read_encoder
from deputize.privacy.tagger.default.encoder_table import EncoderTable, with_more_pieces
from deputize.privacy.tagger.default.encoder_training import (
    LAST,
    LATE,
    MEAN_EVERY,
    NARROW,
    WIDE,
    EncoderSettings,
    PieceBatches,
    build_encoder,
    encode_pieces,
    fit_encoder,
    narrowed,
    save_encoder,
    state_of,
    untrained,
)
from deputize.privacy.tagger.default.generated_text import generators
from deputize.privacy.tagger.default.line_pieces import LineSplitter
from deputize.privacy.tagger.default.name_lists import NameLists, read_name_lists
from deputize.privacy.tagger.default.pieces import PieceVectors
from deputize.privacy.tagger.default.plain_text import read_plain_words
from deputize.privacy.tagger.default.train_default import (
    PIECES,
    LineMix,
    TrainingLine,
    names_of_corpus,
    read_pieces,
    training_lines,
)
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
FIRST_MIX = LineMix(GENERATED_LINES)
"""Of the first two parts of the training."""
LATE_MIX = LineMix(
    {
        "tr": 3500,
        "ar": 2500,
        "zh": 3000,
        "ja": 3000,
        "hi": 1000,
        "ko": 600,
        "ru": 600,
        "en": 2500,
        "de": 2500,
        "fr": 6000,
        "es": 800,
        "pt": 1000,
        "pl": 1000,
        "it": 500,
        "nl": 500,
        "cs": 500,
    },
    generated_weight=0.7,
    more=("more",),
)
"""Of the third part: other lines of each language, and names from the real ones."""
LAST_MIX = LineMix(
    {
        "tr": 5000,
        "ar": 5000,
        "zh": 2500,
        "ja": 6000,
        "hi": 500,
        "ko": 300,
        "ru": 300,
        "en": 2500,
        "de": 2500,
        "fr": 4000,
        "es": 300,
        "pt": 500,
        "pl": 500,
        "it": 300,
        "nl": 300,
        "cs": 300,
    },
    generated_weight=0.7,
    more=("more", "last"),
    real_weights={"es": 0.35, "pt": 0.35, "pl": 0.35, "hi": 0.3},
)
"""Of the fourth part: real lines of the languages in which most is missed, and more made-up ones of those in which most is taken
for a name that is none."""
PARTS: tuple[tuple[EncoderSettings, LineMix], ...] = (
    (WIDE, FIRST_MIX),
    (NARROW, FIRST_MIX),
    (LATE, LATE_MIX),
    (LAST, LAST_MIX),
)
"""The parts of the training; the encoder is made smaller where one has fewer inner numbers than that before."""
CHECKPOINTS, CODES, SAVED_EVERY = "encoder-{}-{}.pt", "codes.npz", 200


def train_encoder(
    corpus: Path,
    archives: Path,
    out: Path,
    *,
    steps: Sequence[int] | None,
    seconds: float,
    seed: int,
    start: Path | None = None,
    trained: int = 0,
    clean: Path | None = None,
    progress: Progress,
    parts: Sequence[tuple[EncoderSettings, LineMix]] = PARTS,
) -> DefaultTaggerCard:
    """Trains in parts for so many steps each, or about an equal share of so many seconds, and writes the weights beside those of the network over words.

    Args:
        corpus: LANGUAGE.jsonl.gz files.
        archives: those of encoder_pieces, plain_text and name_lists; only the first has to be there.
        out: folder with the card of train_default, which is told of the encoder.
        steps: of each part; None: as many as the seconds allow.
        seconds: read where there are no steps.
        seed: of everything that is drawn.
        start: a checkpoint after the first parts, to go on with the next, or an encoder.npz with the weights.npz of `out`. None: all are trained.
        trained: how many parts `start` went through; the card of `out` says for how many steps.
        clean: folder with utterances that hold hardly a name.
        progress: called after steps.
        parts: settings and lines of each part.

    Raises:
        BadInput: the archive of the encoder is missing, or out holds no card.
    """
    torch_module().set_num_threads(1)
    card = _card(out)
    _keep_table(start, out)
    arrays = with_more_pieces(read_pieces(archives, out) | _codes(archives, out))
    table, splitter = EncoderTable(arrays), LineSplitter(PieceVectors(arrays))
    model = _first_model(archives, parts[max(0, trained - 1)][0], start)
    done, lines = card.encoder_steps[:trained], list[TrainingLine]()
    for number, (part, mix) in list(enumerate(parts))[trained:]:
        settings = part._replace(seed=part.seed + seed)
        lines = lines_of_part(mix, corpus, archives, settings.seed if mix.more else seed, clean)
        weighted = [(line.sample, line.covers, line.weight) for line in lines]
        batches = PieceBatches(encode_pieces(weighted, splitter), table, settings)
        if [layer.up.out_features for layer in model.layers] != list(part.inner):
            model = narrowed(model, batches, settings)
        kept = _KeptWeights(model, settings, out, number)
        of_part = fit_encoder(
            model,
            batches,
            settings,
            steps=steps[number] if steps else None,
            seconds=seconds / (len(parts) - trained),
            progress=progress,
            after_step=kept.after_step,
        )
        done.append(of_part)
        model.load_state_dict(kept.result())
        torch_module().save(model.state_dict(), out / CHECKPOINTS.format(number, "last"))
    return write_encoder(model, parts[-1][0], out, card, steps=done, n_lines=len(lines))


def _first_model(archives: Path, settings: EncoderSettings, start: Path | None) -> Any:
    """The encoder that the first part begins with, or that of a checkpoint."""
    if start is None:
        return build_encoder(read_encoder(archives), settings)
    if start.suffix == ".npz":
        with np.load(start, allow_pickle=False) as arrays:
            state = state_of(arrays)
    else:
        state = torch_module().load(start, weights_only=True)
    model = untrained(state["places"].shape[1], settings)
    model.load_state_dict(state)
    return model


def _keep_table(encoder: Path | None, out: Path) -> None:
    """Writes the pieces and the vectors that an encoder.npz was trained with where read_pieces and _codes look for them.

    Worked out again from the archive they may differ: axes have two directions. A checkpoint stands beside its own.
    """
    if encoder is None or encoder.suffix != ".npz":
        return
    for file, kept, wanted in (
        (out / WEIGHTS, out / PIECES, "pieces."),
        (encoder, out / CODES, "table."),
    ):
        with np.load(file, allow_pickle=False) as arrays, kept.open("wb") as written:
            found = {name: arrays[name] for name in arrays.files if name.startswith(wanted)}
            np.savez_compressed(written, allow_pickle=False, **found)


def lines_of_part(
    mix: LineMix, corpus: Path, archives: Path, seed: int, clean: Path | None
) -> list[TrainingLine]:
    """The lines of a part of the training.

    Args:
        mix: what they are.
        corpus: as train_encoder is given it.
        archives: as train_encoder is given them.
        seed: of everything that is drawn.
        clean: as train_encoder is given it.
    """
    names = read_name_lists(archives)
    if mix.more:
        for language, found in names_of_corpus(corpus).items():
            known = names.get(language, NameLists([], [], []))
            names[language] = NameLists(known.first + found.first, known.last + found.last, known.places)
    made_up = generators(read_plain_words(archives), seed, names, EMBEDDED_SHARE, more=mix.more)
    return training_lines(corpus, made_up, seed, mix, clean)[0]


class _KeptWeights:
    """Weights of a training that are saved now and then, and those that are averaged."""

    def __init__(self, model: Any, settings: EncoderSettings, out: Path, part: int) -> None:
        self._model = model
        self._settings = settings
        self._out = out
        self._part = part
        self._mean = self._now()
        self._averaged = [self._now()] if 0 in settings.averaged_steps else []

    def _now(self) -> dict[str, Any]:
        return {name: tensor.clone() for name, tensor in self._model.state_dict().items()}

    def _given(self) -> dict[str, Any]:
        """The weights that a training which ended here would give, but for the average."""
        mean = {name: tensor.clone() for name, tensor in self._mean.items()}
        return mean if self._settings.running_mean else self._now()

    def after_step(self, step: int) -> None:
        """Looks at the weights after a step."""
        share = self._settings.running_mean
        if share and step % MEAN_EVERY == 0:
            for name, tensor in self._model.state_dict().items():
                self._mean[name].mul_(share).add_(tensor, alpha=1 - share)
        if step in self._settings.averaged_steps:
            self._averaged.append(self._given())
        if step % SAVED_EVERY == 0:
            torch_module().save(self._given(), self._out / CHECKPOINTS.format(self._part, step))

    def result(self) -> dict[str, Any]:
        """The weights that the training gives."""
        every = [*self._averaged, self._given()]
        return {name: sum(one[name] for one in every) / len(every) for name in every[0]}


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
