"""The default tagger's thresholds for people, by script: `python -m benchmarks.tagger_thresholds --data
../shared/data/ner`.

They are chosen on the validation part of every language, and of languages whose lines no weight learns from on the
training part too (SAMPLED lines of a source), for there it is as unseen, and their validation part is small (Arabic:
one document, 29 names). Held-out lines are not read. A threshold is better where the languages that it serves are
short of their aims by fewer points of masked people and of precision in sum, by the tagger alone; the present one
stays unless another is better by a point. What is printed goes by hand into train_default.PERSON_THRESHOLDS and
tagger.json.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from deputize.privacy.detectors.base import Span
from deputize.privacy.tagger.default.corpus import CorpusLine, read_corpus
from deputize.privacy.tagger.default.default_tagger import (
    ACCENTED,
    DIRECT_TYPES,
    ENTITY_TYPES,
    TURKISH,
    DefaultTagger,
    DefaultTaggerCard,
    load_default_tagger,
)
from deputize.privacy.tagger.default.numpy_network import LineScores

LATIN = ("en", "de", "fr", "es", "pt", "pl")
AIMS: dict[str, float] = {
    **dict.fromkeys(LATIN, 92.0),
    "tr": 85.0,
    "ar": 75.0,
    "hi": 75.0,
    "zh": 75.0,
    "ja": 75.0,
}
"""Percent of the characters of people's names that are to be masked."""
PRECISION_AIM = 75.0
COMMON = "PERSON"
SERVED: dict[str, tuple[str, ...]] = {
    COMMON: LATIN,
    ACCENTED: LATIN[1:],
    TURKISH: ("tr",),
    "Arabic": ("ar",),
    "Devanagari": ("hi",),
    "Han": ("zh",),
    "Kana": ("ja",),
}
"""Key of a threshold -> languages whose figures it decides."""
GRID = (
    0.1,
    0.14,
    0.18,
    0.22,
    0.25,
    0.3,
    0.35,
    0.4,
    0.45,
    0.5,
    0.55,
    0.6,
    0.65,
    0.7,
    0.75,
    0.8,
    0.85,
    0.9,
    0.94,
)
BETTER_BY = 1.0
SAMPLED = 600

Figures = dict[str, tuple[float, float]]
"""Language -> percent masked, percent of what is called a person that is one."""


class KnownScores:
    """Gives the scores of lines that were worked out before."""

    def __init__(self, by_line: Mapping[str, LineScores]) -> None:
        self._by_line = by_line

    def scores(self, lines: Sequence[str], outputs: Sequence[int]) -> list[LineScores]:
        """As TwoStages gives them."""
        return [self._by_line[line] for line in lines]


def choosing_lines(folder: Path) -> list[CorpusLine]:
    """The lines to choose on."""
    by_source: dict[str, list[CorpusLine]] = {}
    out = []
    for line in read_corpus(folder):
        if "PERSON" not in line.covers or line.language not in AIMS:
            continue
        if line.part == "validation":
            out.append(line)
        elif line.part == "training" and not line.may_ship and line.language not in LATIN:
            by_source.setdefault(line.source.partition("@")[0], []).append(line)
    for lines in by_source.values():
        out += random.Random(1).sample(lines, min(SAMPLED, len(lines)))
    return out


def figures_of(lines: Sequence[CorpusLine], found: Sequence[Sequence[Span]]) -> Figures:
    """The figures of each language, in characters."""
    counts: dict[str, Counter[str]] = {}
    for line, spans in zip(lines, found, strict=True):
        gold = {i for s in line.sample.spans if s.type == "PERSON" for i in range(s.start, s.end)}
        called = {i for s in spans for i in range(s.start, s.end)}
        of_language = counts.setdefault(line.language, Counter())
        of_language.update(gold=len(gold), called=len(called), right=len(gold & called))
    return {
        language: (100 * c["right"] / max(1, c["gold"]), 100 * c["right"] / max(1, c["called"]))
        for language, c in counts.items()
    }


def shortfall(figures: Figures, languages: Sequence[str]) -> float:
    """Points by which languages are short of their aims, in sum."""
    return sum(
        max(0.0, AIMS[one] - figures[one][0]) + max(0.0, PRECISION_AIM - figures[one][1])
        for one in languages
        if one in figures
    )


def with_threshold(card: DefaultTaggerCard, key: str, threshold: float) -> DefaultTaggerCard:
    """The card with another threshold for people."""
    if key == COMMON:
        return msgspec.structs.replace(card, thresholds=card.thresholds | {COMMON: threshold})
    return msgspec.structs.replace(card, person_thresholds=card.person_thresholds | {key: threshold})


def threshold_of(card: DefaultTaggerCard, key: str) -> float:
    """The threshold for people of a key."""
    return card.thresholds[COMMON] if key == COMMON else card.person_thresholds[key]


def choose(
    lines: Sequence[CorpusLine],
    card: DefaultTaggerCard,
    detect: Callable[[DefaultTaggerCard, Sequence[str]], list[list[Span]]],
) -> DefaultTaggerCard:
    """The card with the thresholds that are chosen, one key after the other.

    Args:
        lines: to choose on.
        card: has the present thresholds.
        detect: the people in texts, by the tagger with a card.
    """
    for key, languages in SERVED.items():
        mine = [line for line in lines if line.language in languages]
        if not mine:
            continue
        texts = [line.sample.text for line in mine]
        at: dict[float, Figures] = {}
        for threshold in sorted({*GRID, threshold_of(card, key)}):
            at[threshold] = figures_of(mine, detect(with_threshold(card, key, threshold), texts))
        present = threshold_of(card, key)
        best = min(at, key=lambda one: (shortfall(at[one], languages), abs(one - present)))
        if shortfall(at[present], languages) - shortfall(at[best], languages) < BETTER_BY:
            best = present
        card = with_threshold(card, key, best)
        for one in sorted({present, best}):
            said = "  ".join(f"{name} {m:.1f} / {p:.1f}" for name, (m, p) in at[one].items())
            print(
                f"{key} {one}: short by {shortfall(at[one], languages):.1f}; masked / precision {said}",
                flush=True,
            )
    return card


def main(arguments: Sequence[str] | None = None) -> int:
    """Chooses on the lines of a folder and prints the thresholds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/ner"))
    args = parser.parse_args(arguments)
    shipped = load_default_tagger()
    # as in use: what is likely to be an address is shown to the encoder too
    outputs = [i for i, name in enumerate(shipped.card.types) if ENTITY_TYPES.get(name) in DIRECT_TYPES]
    lines = choosing_lines(args.data)
    texts = {text for line in lines for text in line.sample.text.split("\n")}
    ordered = sorted(texts)
    known = KnownScores(dict(zip(ordered, shipped._network.scores(ordered, outputs), strict=True)))
    chosen = choose(lines, shipped.card, _with(known))
    print({COMMON: chosen.thresholds[COMMON], **chosen.person_thresholds})
    return 0


def _with(known: KnownScores) -> Callable[[DefaultTaggerCard, Sequence[str]], list[list[Span]]]:
    return lambda card, texts: DefaultTagger(known, card, frozenset({"PERSON"})).detect(texts)  # type: ignore[arg-type]


if __name__ == "__main__":
    sys.exit(main())
