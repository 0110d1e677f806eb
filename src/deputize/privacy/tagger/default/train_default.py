"""Trains the tagger that ships; `python -m benchmarks.train_default_tagger` calls this.

It learns from real lines whose licence lets weights ship (corpus), from the same lines with other names, and from
made-up ones (generated_text) in sixteen languages. Needs torch and Faker. A checkpoint is written every few minutes,
from which a later training can start.
"""

from __future__ import annotations

import hashlib
import random
import re
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from deputize.core.progress import Progress
from deputize.core.records import encode
from deputize.privacy.tagger.default.corpus import (
    UTTERANCES_COVER,
    UTTERANCES_LICENCE,
    UTTERANCES_SOURCE,
    read_corpus,
    read_utterances,
)
from deputize.privacy.tagger.default.default_tagger import (
    ACCENTED,
    CARD,
    SMALL,
    TURKISH,
    WEIGHTS,
    DefaultTaggerCard,
)
from deputize.privacy.tagger.default.encoder_pieces import encoder_pieces
from deputize.privacy.tagger.default.generated_text import TextGenerator, generators, with_other_names
from deputize.privacy.tagger.default.name_lists import NameLists, read_name_lists
from deputize.privacy.tagger.default.pieces import PieceVectors
from deputize.privacy.tagger.default.plain_text import read_plain_words
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
from deputize.privacy.tagger.labelled_text import Sample
from deputize.specialists.torch_runtime import torch_module

GENERATED_LINES: dict[str, int] = {
    "tr": 9000,
    "ar": 9000,
    "zh": 10000,
    "ja": 10000,
    "hi": 2500,
    "ko": 2000,
    "ru": 2000,
    "en": 4000,
    "de": 2500,
    "fr": 2500,
    "es": 2000,
    "pt": 2500,
    "pl": 2500,
    "it": 1200,
    "nl": 1200,
    "cs": 1200,
}
RENAMED_SHARE: dict[str, float] = {"pl": 0.25}
"""Share of the real lines with people that are used once more with other names; 1 where nothing is said. Polish
declines names."""
SHARE_WITHOUT_PEOPLE = 0.5
"""Share of the real lines without people that are used."""
N_UTTERANCES = 4000
WEIGHT_RENAMED = 0.7
"""Times that a line with other names is seen in a pass; other lines once."""
PERSON_THRESHOLDS: dict[str, float] = {
    "Arabic": 0.85,
    "Devanagari": 0.3,
    "Han": 0.75,
    "Kana": 0.9,
    ACCENTED: 0.18,
    TURKISH: 0.7,
    SMALL: 0.5,
}
"""Of scripts in which only made-up lines, or few, were trained on: there more words are taken for names. Chosen by
benchmarks.tagger_thresholds."""
THRESHOLDS: dict[str, float] = {"PERSON": 0.25, "ADDRESS": 0.5, "LOCATION": 0.5, "ORGANIZATION": 0.5}
CHECKPOINT, AVERAGE, CHECKPOINT_S = "checkpoint.pt", "average.pt", 240
PIECES = "pieces.npz"
_NAME_WORD = re.compile(r"(?![a-z\u00df-\u00ff])[^\W\d_]{3,}")


class LineMix(NamedTuple):
    """The lines of a training."""

    generated: Mapping[str, int]
    """Language -> made-up lines."""
    generated_weight: float = 1.0
    """Times that each of them is seen in a pass. Below 1 every pass draws others, so that fewer are learned by heart."""
    more: tuple[str, ...] = ()
    """Keys of frames that the network over words did not learn from. Where there are any, names of the real lines to
    train on are used too."""
    real_weights: Mapping[str, float] = MappingProxyType({})
    """Language -> times that each of its real lines is seen in a pass; 1 where nothing is said."""


class TrainingLine(NamedTuple):
    """A line to train on."""

    sample: Sample
    covers: frozenset[str]
    weight: float


def training_lines(
    corpus: Path,
    by_language: Mapping[str, TextGenerator],
    seed: int,
    mix: LineMix,
    clean: Path | None = None,
) -> tuple[list[TrainingLine], dict[str, str]]:
    """The lines to train on, and the licence of each source of real ones.

    Raises:
        BadInput: the corpus cannot be read.
    """
    rng = random.Random(seed)
    out: list[TrainingLine] = []
    licences: dict[str, str] = {}
    for line in read_corpus(corpus):
        if line.part != "training" or not line.may_ship:
            continue
        licences[line.source.partition("/brat/")[0]] = line.licence
        weight = mix.real_weights.get(line.language, 1.0)
        has_people = any(s.type == "PERSON" for s in line.sample.spans)
        if has_people or rng.random() < SHARE_WITHOUT_PEOPLE:
            out.append(TrainingLine(line.sample, line.covers, weight))
        generator = by_language.get(line.language)
        if has_people and generator and rng.random() < RENAMED_SHARE.get(line.language, 1.0):
            renamed = with_other_names(line.sample, generator, rng)
            out.append(TrainingLine(renamed, line.covers, weight * WEIGHT_RENAMED))
    utterances = read_utterances(clean, N_UTTERANCES, seed) if clean is not None else []
    if utterances:
        licences[UTTERANCES_SOURCE] = UTTERANCES_LICENCE
    out += [TrainingLine(sample, UTTERANCES_COVER, 1.0) for sample in utterances]
    for language, n in mix.generated.items():
        made_up = by_language[language].samples(n)
        out += [TrainingLine(sample, frozenset(TYPES), mix.generated_weight) for sample in made_up]
    return out, licences


def names_of_corpus(corpus: Path) -> dict[str, NameLists]:
    """Language -> first and last names in the real lines to train on: of names of two words, which both begin with a
    capital where there are any.

    Raises:
        BadInput: the corpus cannot be read.
    """
    out: dict[str, NameLists] = {}
    for line in read_corpus(corpus):
        if line.part != "training" or not line.may_ship or line.language in RENAMED_SHARE:
            continue
        for label in line.sample.spans:
            words = line.sample.text[label.start : label.end].split()
            if label.type == "PERSON" and len(words) == 2 and all(_NAME_WORD.fullmatch(w) for w in words):
                lists = out.setdefault(line.language, NameLists([], [], []))
                lists.first.append(words[0])
                lists.last.append(words[1])
    return out


def train_default(
    corpus: Path,
    archives: Path,
    out: Path,
    *,
    seconds: float,
    seed: int,
    start: Path | None,
    clean: Path | None = None,
    average: Sequence[Path] = (),
    progress: Progress,
) -> DefaultTaggerCard:
    """Trains for so many seconds and writes weights and card into a folder.

    Args:
        corpus: LANGUAGE.jsonl.gz files.
        archives: those of encoder_pieces, plain_text and name_lists; only the first has to be there.
        out: folder to write.
        seconds: of training; the rate falls to zero by then.
        seed: of everything that is drawn.
        start: a checkpoint to go on from; None: random weights.
        clean: folder with utterances that hold hardly a name.
        average: checkpoints of the same training whose weights are averaged with the last ones.
        progress: called after batches.
    """
    torch = torch_module()
    torch.set_num_threads(1)
    out.mkdir(parents=True, exist_ok=True)
    pieces = read_pieces(archives, out)
    by_language = generators(read_plain_words(archives), seed, read_name_lists(archives))
    lines, licences = training_lines(corpus, by_language, seed, LineMix(GENERATED_LINES), clean)
    index = FeatureIndex()
    encoded = encode_lines([(line.sample, line.covers) for line in lines], index)
    settings = NetworkSettings(seed=seed)
    vectors = PieceVectors(pieces)
    model = build(settings, vectors.width)
    if start is not None:
        model.load_state_dict(torch.load(start, weights_only=True))
    batches = Batches(encoded, index, settings, vectors)
    weights = weights_of_lines([(line.sample, line.weight) for line in lines])
    fit(model, batches, weights, settings, seconds=seconds, progress=_saving(model, out, progress))
    torch.save(model.state_dict(), out / CHECKPOINT)
    if average:
        average_checkpoints([out / CHECKPOINT, *average], out / AVERAGE)
        model.load_state_dict(torch.load(out / AVERAGE, weights_only=True))
    save_arrays(arrays_of(model), pieces, out / WEIGHTS)
    card = DefaultTaggerCard(
        types=list(TYPES),
        thresholds=THRESHOLDS,
        person_thresholds=PERSON_THRESHOLDS,
        dilations=list(settings.dilations),
        seed=seed,
        n_train=len(lines),
        n_generated=sum(GENERATED_LINES.values()),
        train_s=seconds,
        sources=dict(sorted(licences.items())),
        checksums={WEIGHTS: hashlib.sha256((out / WEIGHTS).read_bytes()).hexdigest()},
    )
    (out / CARD).write_bytes(encode(card))
    return card


def read_pieces(archives: Path, out: Path) -> dict[str, NDArray[Any]]:
    """The pieces of the encoder; worked out once and kept beside the checkpoints.

    Raises:
        BadInput: they are not there, and neither is the encoder.
    """
    if not (out / PIECES).exists():
        with (out / PIECES).open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **encoder_pieces(archives))
    with np.load(out / PIECES, allow_pickle=False) as arrays:
        return dict(arrays)


def average_checkpoints(paths: Sequence[Path], out: Path) -> None:
    """Writes the mean of the weights of checkpoints of one training.

    References:
        Izmailov et al. (2018), "Averaging weights leads to wider optima and better generalization", section 3.
    """
    torch = torch_module()
    states = [torch.load(path, weights_only=True) for path in paths]
    mean = {name: sum(state[name] for state in states) / len(states) for name in states[0]}
    torch.save(mean, out)


def _saving(model: Any, out: Path, progress: Progress) -> Progress:
    """Progress that also writes a checkpoint every few minutes."""
    torch = torch_module()
    last = [time.monotonic()]

    def report(what: str, done: int, total: int | None = None) -> None:
        progress(what, done, total)
        if time.monotonic() - last[0] > CHECKPOINT_S:
            torch.save(model.state_dict(), out / CHECKPOINT)
            last[0] = time.monotonic()

    return report
