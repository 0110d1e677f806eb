"""Finds the personal data of a whole log while looking at each distinct line once.

Most of a log of agent calls says the same again: fixed templates, and steps that repeat the steps before them. So
texts are cut into lines, equal lines are scanned once, and what was found is looked up by line. Lines are known by
digest; their text is forgotten once they have been scanned.
"""

from __future__ import annotations

import json
import logging
import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from hashlib import blake2b
from itertools import pairwise
from sys import intern
from typing import NamedTuple
from urllib.parse import unquote

from deputize.privacy.call_texts import leaves, parse_json
from deputize.privacy.scan.ensemble import DetectorEnsemble, EnsembleFindings, Finding
from deputize.privacy.scan.worker_pool import WorkerPool

_log = logging.getLogger("deputize.curate")
_PEM = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]{1,8000}(?:-----END [A-Z ]*PRIVATE KEY-----)?")
_LABEL = re.compile(
    r"(?i)[\s*#>\"'_-]*(?:[\w.'’/-]+ ){0,3}(?:mrn|iban|bic|ssn|dob|d\.o\.b\.?|born|birth\w*|address|street|name|number|nummer|nr\.?|no\.?|id|code|phone|tel|"
    r"mobile|fax|account|policy|claim|record|passport|licen[cs]e|password|passwort|passphrase|pwd|pin|secret|token|key|user|username|login|"
    r"medications?|meds|rx)[\s*_\"']*:?[\s*_]*"
)
"""A line that says what the line below it is."""

BATCH_UNITS = 2048
WORTH_A_CREW = 5 * BATCH_UNITS
"""Distinct lines after which other processes, which take seconds to start, are worth it."""
LONGEST_UNIT_CHARS = 20_000
CACHED_TEXTS, LONGEST_CACHED_CHARS = 2048, 16_000
"""Texts whose lines are remembered, so that prompts and histories that recur are not cut up each time."""


class _Given(NamedTuple):
    """Lines that another process reads."""

    numbers: Sequence[int]
    lines: Sequence[str]
    is_prose: Sequence[bool]
    future: Future[EnsembleFindings]


class LineIndex:
    """What the detectors found in each distinct line of the texts that passed by."""

    def __init__(
        self,
        reader: DetectorEnsemble,
        words: re.Pattern[str] | None = None,
        crew: WorkerPool | None = None,
        *,
        batch: int = BATCH_UNITS,
        crew_after: int = WORTH_A_CREW,
    ) -> None:
        """
        Args:
            reader: the detectors.
            words: where given, the words of each line are kept.
            crew: reads a part of the lines of a large log, with the same detectors.
            batch: lines that are read together.
            crew_after: lines that are read here before the crew is asked.
        """
        self._reader, self._crew = reader, crew
        self._batch, self._crew_after = batch, crew_after
        self._n_read = 0
        self._given: list[_Given] = []
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
        if len(self._waiting) >= self._batch:
            self._scan_waiting()
        return self._remembered(text, numbers)

    def scan(self) -> None:
        """Runs the detectors over every line not scanned yet."""
        self._scan_waiting()
        self._take_back(wait=True)

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

    def _scan_waiting(self) -> None:
        waiting, self._waiting = list(self._waiting.items()), {}
        for start in range(0, len(waiting), self._batch):
            numbers, lines = zip(*waiting[start : start + self._batch], strict=True)
            is_prose = [bool(self._is_prose[number]) for number in numbers]
            self._n_read += len(lines)
            future = None
            if self._crew is not None and self._n_read > self._crew_after:
                future = self._crew.give(lines, is_prose)
                self._take_back(wait=False)
            if future is None:
                self._file(numbers, is_prose, self._reader.read(lines, is_prose))
            else:
                self._given.append(_Given(numbers, lines, is_prose, future))

    def _take_back(self, wait: bool) -> None:
        """Takes what others have read; what was lost with one of them is read here."""
        still: list[_Given] = []
        for given in self._given:
            numbers, lines, is_prose, future = given
            if not (wait or future.done()):
                still.append(given)
            elif future.exception() is None:
                self._file(numbers, is_prose, future.result())
            else:
                _log.warning(
                    "A process that looked for personal data has ended; its lines are read again here."
                )
                self._file(numbers, is_prose, self._reader.read(lines, is_prose))
        self._given = still

    def _file(self, numbers: Sequence[int], is_prose: Sequence[bool], reading: EnsembleFindings) -> None:
        for number, as_prose, first, second in zip(numbers, is_prose, *reading, strict=True):
            if self._is_prose[number] and not as_prose:
                continue  # the line has been met as prose since then, and is read as such
            for into, found in ((self._found, first), (self._left, second)):
                if found:
                    into[number] = found


def _digest(line: str) -> bytes:
    return blake2b(line.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _units(text: str) -> Iterator[tuple[str, bool]]:
    """(line, whether it is prose) of a text: its lines, and those of the strings in it where it is JSON; and beside them,
    not as prose, what can only be read across lines or once it is decoded."""
    parsed = parse_json(text)
    if parsed is not None and "\\u" in text:
        text = json.dumps(parsed, ensure_ascii=False)  # patterns read letters, not their escapes
    for line in _lines(text):
        yield line, parsed is None
    for part in [text] if parsed is None else leaves(parsed):
        if parsed is not None:
            for line in _lines(part):
                yield line, True
        for joined in _read_otherwise(part):
            yield joined, False


def _read_otherwise(text: str) -> Iterator[str]:
    """Private keys as a whole, a label with the value in the line below it, and lines without their percent signs."""
    if "PRIVATE KEY-----" in text:
        yield from _PEM.findall(text)
    if "\n" in text:
        for above, below in pairwise(text.split("\n")):
            if len(above) <= 40 and _LABEL.fullmatch(above) and 0 < len(below.strip()) <= 200:
                yield f"{above}\n{below}"
    if "%" in text:
        for line in _lines(text):
            if (plain := unquote(line)) != line:
                yield plain


def _lines(text: str) -> Iterable[str]:
    for line in text.split("\n"):
        if len(line) > LONGEST_UNIT_CHARS:
            yield from _pieces(line)
        elif line and not line.isspace():
            yield line


def _pieces(line: str) -> Iterable[str]:
    """A very long line in pieces that overlap, so that nothing is missed at a cut."""
    overlap = 200
    for start in range(0, len(line), LONGEST_UNIT_CHARS - overlap):
        yield line[start : start + LONGEST_UNIT_CHARS]
