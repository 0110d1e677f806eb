"""Finds the personal data of a whole log while looking at each distinct line once.

Most of a log of agent calls says the same again: fixed templates, and steps that repeat the steps before them. So
texts are cut into lines, equal lines are scanned once, and what was found is looked up by line. Lines are known by
digest; their text is forgotten once they have been scanned.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from hashlib import blake2b
from sys import intern
from typing import NamedTuple

from deputize.stages.curate.detect import Detector, Span, union
from deputize.stages.curate.texts import leaves, parse_json

_HEAD = re.compile(r"[\s*#>•-]*[^\W\d_][\w /&'-]{0,30}[:=]\**(?=\s|$)")
_CAPITALISED = re.compile(r"(?<!\w)[^\W\d_a-zà-öø-ÿ][^\W\d_]+")

BATCH_UNITS = 2048
LONGEST_UNIT_CHARS = 20_000
CACHED_TEXTS, LONGEST_CACHED_CHARS = 2048, 16_000
"""Texts whose lines are remembered, so that prompts and histories that recur are not cut up each time."""


class Finding(NamedTuple):
    """What was found in a line."""

    type: str
    value: str
    score: float


class Scanner:
    """What the detectors found in each distinct line of the texts that passed by."""

    def __init__(
        self, detectors: Sequence[Detector], prose_detectors: Sequence[Detector] = (),
        second_look: Sequence[Detector] = (), words: re.Pattern[str] | None = None,
    ) -> None:  # fmt: skip
        """
        Args:
            detectors: read whole lines.
            prose_detectors: read sentences only: the strings inside JSON, never its syntax.
            second_look: read whole lines too; what they find is kept apart.
            words: where given, the words of each line are kept.
        """
        self._detectors, self._prose, self._second = (
            tuple(detectors),
            tuple(prose_detectors),
            tuple(second_look),
        )
        self._words = words
        self._numbers: dict[bytes, int] = {}
        self._is_prose = bytearray()
        self._waiting: dict[int, str] = {}
        self._found: dict[int, tuple[Finding, ...]] = {}
        self._left: dict[int, tuple[Finding, ...]] = {}
        self._words_of: list[tuple[str, ...]] = []
        self._cached: dict[str, array[int]] = {}
        self._n_words: Counter[str] = Counter()
        self._n_names: Counter[str] = Counter()

    @property
    def n_lines(self) -> int:
        """Distinct lines seen; their numbers go from 0 to n_lines - 1."""
        return len(self._numbers)

    def add(self, text: str) -> array[int]:
        """Takes note of a text and scans when enough new lines have come together; the numbers of its lines."""
        known = self._cached.get(text)
        if known is not None:
            return known
        numbers = array("I", dict.fromkeys(self._number(line, prose) for line, prose in _units(text)))
        if len(self._waiting) >= BATCH_UNITS:
            self.scan()
        return self._remembered(text, numbers)

    def scan(self) -> None:
        """Runs the detectors over every line not scanned yet."""
        waiting, self._waiting = list(self._waiting.items()), {}
        for start in range(0, len(waiting), BATCH_UNITS):
            numbers, lines = zip(*waiting[start : start + BATCH_UNITS], strict=True)
            self._scan_batch(numbers, lines)

    def lines(self, text: str) -> array[int]:
        """The numbers of the distinct lines of a text that was added."""
        known = self._cached.get(text)
        if known is not None:
            return known
        numbers = array("I", dict.fromkeys(self._numbers[_digest(line)] for line, _ in _units(text)))
        return self._remembered(text, numbers)

    def numbered(self, text: str) -> Iterator[tuple[int, str]]:
        """(number, line) for each line of a text that was added; a line may come twice."""
        return ((self._numbers[_digest(line)], line) for line, _ in _units(text))

    def findings(self, number: int) -> Iterable[Finding]:
        """What was found in the line of a number, as of the last scan."""
        return self._found.get(number, ())

    def second_findings(self, number: int) -> Iterable[Finding]:
        """What the second look found there."""
        return self._left.get(number, ())

    def words(self, number: int) -> Iterable[str]:
        """The words of a line, case folded, where they are kept."""
        return self._words_of[number]

    def is_ordinary(self, word: str) -> bool:
        """Whether a capitalised word is an everyday one in this log: it is written in lower case as often."""
        folded = word.casefold()
        return self._n_words[folded] >= 4 and self._n_words[folded] * 2 >= self._n_names[folded]

    def _remembered(self, text: str, numbers: array[int]) -> array[int]:
        if len(text) <= LONGEST_CACHED_CHARS:
            if len(self._cached) >= CACHED_TEXTS:
                self._cached.clear()
            self._cached[text] = numbers
        return numbers

    def _number(self, line: str, prose: bool) -> int:
        digest = _digest(line)
        number = self._numbers.get(digest)
        if number is None:
            number = self._numbers[digest] = len(self._numbers)
            self._is_prose.append(prose)
            self._waiting[number] = line
            self._count_words(line)
        elif prose and not self._is_prose[number]:
            self._is_prose[number] = (
                True  # so far only JSON syntax was a line like this: it is looked at again
            )
            self._waiting[number] = line
        return number

    def _count_words(self, line: str) -> None:
        for raw in line.split() if len(line) < LONGEST_UNIT_CHARS else ():
            word = raw.strip(".,;:!?()\"'*")
            if word.isalpha():
                if word.islower():
                    self._n_words[word] += 1
                elif word.istitle():
                    self._n_names[word.casefold()] += 1
        if self._words is not None:
            self._words_of.append(tuple({intern(w.casefold()) for w in self._words.findall(line)}))

    def _scan_batch(self, numbers: Sequence[int], lines: Sequence[str]) -> None:
        prose_at = [i for i, number in enumerate(numbers) if self._is_prose[number]]
        found: list[list[Sequence[Span]]] = [[] for _ in lines]
        for detector in self._detectors:
            for row, spans in zip(found, detector.detect(lines), strict=True):
                row.append(spans)
        for detector in self._prose:
            wanted = prose_at
            if getattr(detector, "reads_capitals", False):
                wanted = [i for i in prose_at if _is_open(lines[i], found[i])]
            for i, spans in zip(wanted, detector.detect([lines[i] for i in wanted]), strict=True):
                found[i].append(spans)
        _file(self._found, numbers, lines, found)
        _file(self._left, numbers, lines, [*zip(*(d.detect(lines) for d in self._second), strict=True)])


def _file(
    into: dict[int, tuple[Finding, ...]], numbers: Sequence[int], lines: Sequence[str],
    found: Sequence[Sequence[Sequence[Span]]],
) -> None:  # fmt: skip
    for number, line, row in zip(numbers, lines, found, strict=False):
        joined = union(row)
        if joined:
            into[number] = tuple(
                dict.fromkeys(Finding(s.type, line[s.start : s.end], s.score) for s in joined)
            )


def _digest(line: str) -> bytes:
    return blake2b(line.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _units(text: str) -> Iterator[tuple[str, bool]]:
    """(line, whether it is prose) of a text: its lines, and those of the strings in it where it is JSON."""
    parsed = parse_json(text)
    for line in _lines(text):
        yield line, parsed is None
    if parsed is not None:
        for leaf in leaves(parsed):
            for line in _lines(leaf):
                yield line, True


def _lines(text: str) -> Iterable[str]:
    for line in text.split("\n"):
        if len(line) > LONGEST_UNIT_CHARS:
            yield from _pieces(line)
        elif line and not line.isspace():
            yield line


def _is_open(line: str, found: Iterable[Sequence[Span]]) -> bool:
    """Whether a line holds a capitalised word outside its `Label:` head and outside of what was found already."""
    head = _HEAD.match(line)
    covered = [(s.start, s.end) for spans in found for s in spans]
    if head:
        covered.append(head.span())
    return any(
        not any(start <= word.start() and word.end() <= end for start, end in covered)
        for word in _CAPITALISED.finditer(line)
    )


def _pieces(line: str) -> Iterable[str]:
    """A very long line in pieces that overlap, so that nothing is missed at a cut."""
    overlap = 200
    for start in range(0, len(line), LONGEST_UNIT_CHARS - overlap):
        yield line[start : start + LONGEST_UNIT_CHARS]
