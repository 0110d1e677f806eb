"""The tagger that ships with the package as a detector. It needs numpy only."""

from __future__ import annotations

import hashlib
import io
import re
from bisect import bisect
from collections.abc import Iterator, Sequence
from functools import lru_cache
from importlib.resources import files
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from deputize.core.errors import Tampered
from deputize.core.records import Record, decode
from deputize.privacy.detectors.base import Span
from deputize.privacy.tagger.default.encoder_table import with_more_pieces
from deputize.privacy.tagger.default.line_encoder import LineEncoder
from deputize.privacy.tagger.default.numpy_network import LineScores, NumpyNetwork
from deputize.privacy.tagger.default.pieces import PieceVectors
from deputize.privacy.tagger.default.two_stages import TwoStages

CARD, WEIGHTS, ENCODER = "tagger.json", "weights.npz", "encoder.npz"
FOLDER = "deputize.privacy.tagger.default"
ENTITY_TYPES: dict[str, str] = {
    "PERSON": "PERSON",
    "ADDRESS": "STREET_ADDRESS",
    "LOCATION": "LOCATION",
    "ORGANIZATION": "ORGANIZATION",
}
"""Output of the network -> entity type; other outputs are trained for the sake of these and are not reported."""
ALL_TYPES = frozenset(ENTITY_TYPES.values())
DIRECT_TYPES = frozenset({"PERSON", "STREET_ADDRESS"})
MAX_SCORE = 0.75
"""The rules know what a word before a value says, so that their findings count for more where both overlap."""
SCRIPTS = (
    (0x0600, "Arabic"),
    (0x0780, ""),
    (0x0900, "Devanagari"),
    (0x0980, ""),
    (0x3040, "Kana"),
    (0x3100, ""),
    (0x31F0, "Kana"),
    (0x3200, ""),
    (0x3400, "Han"),
    (0xA000, ""),
    (0xAC00, "Hangul"),
    (0xD7B0, ""),
    (0xF900, "Han"),
    (0xFB00, ""),
    (0xFB50, "Arabic"),
    (0xFF00, ""),
)
"""First code point of a block -> the script from there on; "" for scripts without a threshold of their own."""
SMALL = "small letters"
"""A key of the thresholds of people for words that begin with a small letter: utterances without capitals hold few
names."""
TURKISH = "Turkish letters"
"""A key of the thresholds of people for words of Latin letters in lines with a letter that Turkish alone has."""
ACCENTED = "accented letters"
"""A key of the thresholds of people for words of Latin letters in other lines with a letter that English has not."""
_TURKISH_LETTER = re.compile(r"[ğĞıİşŞ]")
_ACCENTED_LETTER = re.compile(r"[\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f]")
_KANA = re.compile(r"[\u3041-\u30fa]")
_STARTS = [start for start, _ in SCRIPTS]
_HAN = [number for number, (_, name) in enumerate(SCRIPTS, 1) if name == "Han"]
POSSIBLE = 0.14
"""A probability below which a word is ruled out."""
NEIGHBOUR = 0.4
"""Share of the threshold from which a word next to a likely one belongs to it."""
KEPT_LINES = 2048

ROLE_WORDS = frozenset(
    [
        "plaintiff",
        "plaintiffs",
        "defendant",
        "defendants",
        "claimant",
        "respondent",
        "petitioner",
        "appellant",
        "patient",
        "customer",
        "client",
        "witness",
        "attorney",
        "counsel",
        "applicant",
        "employee",
        "tenant",
        "guest",
        "passenger",
        "agent",
    ]
)
"""Words that stand before a name, or before a label of what a person has, and are no part of a name."""
MIN_ADDRESS_WORD = 4
"""Letters of the longest word of an address in plain Latin letters without a number."""
_JOINING = frozenset(".-'’·・&/ ")
_EDGES = " .,;:!?()[]{}<>\"'“”„‚‘’«»|/\\·・_-*#@=、。，：；（）「」『』《》"
_OPENING = {")": "(", "]": "[", "）": "（"}
"""Closing bracket -> the opening one."""
_LETTER = re.compile(r"[^\W\d_]")
_FIRST_WORD = re.compile(r"([^\W\d_]+)\W*")


class LanguageFigures(Record):
    """Figures for people's names in one language, by character, on lines that were held out."""

    recall: float
    """Of rules and tagger together at level `standard`."""
    precision: float
    """Of what they call a person."""
    recall_without: float
    """Of the detectors without this tagger."""
    n_lines: int


class DefaultTaggerCard(Record):
    """The card of the tagger that ships."""

    types: list[str]
    """The outputs of the network, in order."""
    thresholds: dict[str, float]
    """Output -> the probability from which a word is reported."""
    person_thresholds: dict[str, float]
    """Script (of SCRIPTS), or SMALL -> the threshold for people that takes the place of thresholds["PERSON"] in its
    words."""
    dilations: list[int]
    seed: int
    n_train: int
    """Lines that it was trained on."""
    n_generated: int
    """Of them made up."""
    train_s: float
    sources: dict[str, str]
    """Source -> its licence."""
    checksums: dict[str, str]
    languages: dict[str, LanguageFigures] = msgspec.field(default_factory=dict)
    encoder_steps: list[int] = msgspec.field(default_factory=list)
    """Steps of each part of the encoder's training, which repeat it."""
    encoder_lines: int = 0
    """Lines that it was trained on."""
    asked_from: float = 0.03
    """The probability by the network over words from which the encoder is asked: on validation lines 1 % of the names
    are below it."""

    def measured(self) -> str:
        """The measured recall, as the end of a sentence."""
        figures = ", ".join(f"{name} {one.recall:.2f}" for name, one in sorted(self.languages.items()))
        return (
            f"the tagger of the package, measured recall of people's names (characters, with the rules, held-out text): {figures}; "
            "other languages were not measured"
        )


class _Run(NamedTuple):
    """Words that follow each other and have one type."""

    start: int
    end: int
    score: float


class DefaultTagger:
    """Finds people, addresses, places and organisations in any script. Safe to use from one thread."""

    name = "default tagger"
    skips_covered_lines = True
    """Lines that others have wholly claimed need not be shown to it."""

    def __init__(
        self, network: TwoStages, card: DefaultTaggerCard, types: frozenset[str] = DIRECT_TYPES
    ) -> None:
        """
        Args:
            network: its two networks.
            card: its outputs and thresholds.
            types: entity types to report.
        """
        self.card = card
        self._network = network
        common = card.thresholds["PERSON"]
        known = card.person_thresholds
        self._small_factor = common / known.get(SMALL, common)
        self._turkish_factor = common / known.get(TURKISH, common)
        self._accented_factor = common / known.get(ACCENTED, common)
        self._kana_factor = common / known.get("Kana", common)
        self._factors = [1.0, *(common / known.get(name, common) for _, name in SCRIPTS)]
        self._last: dict[str, LineScores] = {}
        self._outputs = [
            (number, ENTITY_TYPES[name], card.thresholds[name])
            for number, name in enumerate(card.types)
            if ENTITY_TYPES.get(name) in types and name in card.thresholds
        ]

    def detect(self, texts: Sequence[str]) -> list[list[Span]]:
        """The spans of each text, line by line, in order of type and place."""
        return self._found(texts, self._outputs)

    def possible(self, texts: Sequence[str]) -> list[list[Span]]:
        """The places in each text where the tagger does not rule out what it reports."""
        return self._found(texts, [(number, kind, POSSIBLE) for number, kind, _ in self._outputs])

    def undecided(self, texts: Sequence[str]) -> list[list[Span]]:
        """The places in each text that the tagger neither reports nor rules out."""
        return [
            [p for p in possible if not any(s.start < p.end and p.start < s.end for s in found)]
            for possible, found in zip(self.possible(texts), self.detect(texts), strict=True)
        ]

    def possible_people(self, texts: Sequence[str]) -> list[list[Span]]:
        """The places in each text where the tagger does not rule out the name of a person."""
        return self._found(texts, [(n, kind, POSSIBLE) for n, kind, _ in self._outputs if kind == "PERSON"])

    def _found(self, texts: Sequence[str], outputs: Sequence[tuple[int, str, float]]) -> list[list[Span]]:
        lines = [(i, start, line) for i, text in enumerate(texts) for start, line in _lines(text)]
        out: list[list[Span]] = [[] for _ in texts]
        for (i, at, line), scores in zip(lines, self._scores([line for _, _, line in lines]), strict=True):
            out[i] += self._spans(line, scores, at, outputs)
        return out

    def _scores(self, lines: Sequence[str]) -> list[LineScores]:
        """The scores of lines; those of the lines before are kept, for `possible` is asked about what `detect` was
        shown."""
        fresh = [line for line in dict.fromkeys(lines) if line not in self._last]
        found = {**{line: self._last[line] for line in lines if line in self._last}}
        numbers = [number for number, _, _ in self._outputs]
        found.update(zip(fresh, self._network.scores(fresh, numbers), strict=True))
        self._last = {**self._last, **found} if len(self._last) + len(fresh) <= KEPT_LINES else found
        return [found[line] for line in lines]

    def _spans(
        self, line: str, scores: LineScores, at: int, outputs: Sequence[tuple[int, str, float]]
    ) -> Iterator[Span]:
        words, probabilities = scores
        for number, kind, threshold in outputs:
            chances = probabilities[:, number]
            if kind == "PERSON":
                chances = chances * self._raised(line, words)
            for run in runs(line, words, chances, threshold):
                if kind == "STREET_ADDRESS" and (_is_key(line, run) or _is_short(line, run)):
                    continue
                if kind == "PERSON":
                    run = _without_role(line, run)
                if run.start == run.end:
                    continue
                yield Span(kind, at + run.start, at + run.end, round(min(run.score, MAX_SCORE), 4), self.name)

    def _raised(self, line: str, words: Sequence[tuple[int, int]]) -> NDArray[np.float32]:
        """For each word the factor that makes the threshold of its script, or of small letters, the common one."""
        small, factors = self._small_factor, self._factors
        if _TURKISH_LETTER.search(line):
            factors = [self._turkish_factor, *factors[1:]]
        elif _ACCENTED_LETTER.search(line):
            factors = [self._accented_factor, *factors[1:]]
        if _KANA.search(line):
            # a name in Chinese characters in a line with Kana is a Japanese one
            factors = [min(f, self._kana_factor) if i in _HAN else f for i, f in enumerate(factors)]
        starts = [line[start] for start, _ in words]
        found = [min(small, factors[0]) if c.islower() else factors[bisect(_STARTS, ord(c))] for c in starts]
        return np.array(found, dtype=np.float32)


def _is_key(line: str, run: _Run) -> bool:
    """True for a run of ASCII with a digit and without a blank: a part of a key or of a digest, which is no address."""
    found = line[run.start : run.end]
    return found.isascii() and " " not in found and any(map(str.isdigit, found))


def _is_short(line: str, run: _Run) -> bool:
    """True for a run of short words in ASCII without a number: "Bar No" is no address."""
    found = line[run.start : run.end]
    longest = max(map(len, re.findall(r"[^\W\d_]+", found)), default=0)
    return found.isascii() and longest < MIN_ADDRESS_WORD and not any(map(str.isdigit, found))


def _without_role(line: str, run: _Run) -> _Run:
    """A run of a person without the words for a role at its beginning; empty where there is nothing else."""
    start = run.start
    while match := _FIRST_WORD.match(line, start, run.end):
        if match[1].casefold() not in ROLE_WORDS:
            break
        start = match.end()
    return run._replace(start=start)


def _lines(text: str) -> Iterator[tuple[int, str]]:
    at = 0
    for line in text.split("\n"):
        if _LETTER.search(line):
            yield at, line
        at += len(line) + 1


def runs(
    line: str, words: Sequence[tuple[int, int]], probabilities: NDArray[np.float32], threshold: float
) -> Iterator[_Run]:
    """The runs of words that are likely next to one that is likely enough; one mark between two of them does not part
    them."""
    likely = np.flatnonzero(probabilities >= threshold * NEIGHBOUR).tolist()
    at = 0
    while at < len(likely):
        first = last = likely[at]
        at += 1
        while at < len(likely) and (
            likely[at] == last + 1 or (likely[at] == last + 2 and line[slice(*words[last + 1])] in _JOINING)
        ):
            last = likely[at]
            at += 1
        score = float(probabilities[first : last + 1].max())
        start, end = words[first][0], words[last][1]
        start = end - len(line[start:end].lstrip(_EDGES))
        end = _without_edge(line, start, end)
        if score >= threshold and start < end and _LETTER.search(line, start, end):
            yield _Run(start, end, score)


def _without_edge(line: str, start: int, end: int) -> int:
    """The end of a run without the marks there; a closing bracket stays where the run has the opening one: "Legrand
    (Mme)"."""
    while start < end and line[end - 1] in _EDGES:
        opening = _OPENING.get(line[end - 1])
        if opening and line.count(opening, start, end) >= line.count(line[end - 1], start, end):
            break
        end -= 1
    return end


@lru_cache(maxsize=1)
def _loaded() -> tuple[TwoStages, DefaultTaggerCard]:
    card = decode((files(FOLDER) / CARD).read_bytes(), DefaultTaggerCard)
    arrays = with_more_pieces(_arrays(WEIGHTS, card) | _arrays(ENCODER, card))
    pieces = PieceVectors(arrays)
    network = NumpyNetwork(arrays, card.dilations, pieces)
    return TwoStages(network, LineEncoder(arrays, pieces), card.asked_from), card


def _arrays(name: str, card: DefaultTaggerCard) -> dict[str, NDArray[Any]]:
    """The arrays of a file of the package. Raises Tampered where it is not that of the card."""
    packed = (files(FOLDER) / name).read_bytes()
    if hashlib.sha256(packed).hexdigest() != card.checksums.get(name):
        raise Tampered("the weights of the default tagger do not match its card: install the package again")
    with np.load(io.BytesIO(packed), allow_pickle=False) as arrays:
        return dict(arrays)


def load_default_tagger(types: frozenset[str] = DIRECT_TYPES) -> DefaultTagger:
    """The tagger of the package. The weights are read once in a process.

    Raises:
        Tampered: the weights do not match the card.
    """
    return DefaultTagger(*_loaded(), types)
