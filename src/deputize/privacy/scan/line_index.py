"""Finds the personal data of a whole log and scans each distinct line once.

Most lines of a log of agent calls are repetitions: fixed templates, and steps that repeat the steps before them. So
texts are cut into lines, equal lines are scanned once, and findings are looked up by line. A line is identified by its
digest; its text is forgotten after the scan.
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
from deputize.privacy.detectors.rules.named_fields import table_cells
from deputize.privacy.detectors.rules.names_by_language import SIGN_OFF_LINE
from deputize.privacy.languages import language_of
from deputize.privacy.scan.ensemble import DetectorEnsemble, EnsembleFindings, Finding
from deputize.privacy.scan.line_table import LineFindings, LineNumbers
from deputize.privacy.scan.word_counts import WordCounts
from deputize.privacy.scan.worker_pool import WorkerPool

_log = logging.getLogger("deputize.curate")
_PEM = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]{1,8000}(?:-----END [A-Z ]*PRIVATE KEY-----)?")
_LABEL_LINE = re.compile(
    r"(?i)[\s*#>\"'_-]*(?:[\w.'’/-]+ ){0,3}(?:mrn|iban|bic|ssn|dob|d\.o\.b\.?|born|birth\w*|address|street|name|number|nummer|nr\.?|no\.?|id|code|phone|tel|"
    r"mobile|fax|account|policy|claim|record|passport|licen[cs]e|password|passwort|passphrase|pwd|pin|secret|token|key|user|username|login|"
    r"medications?|meds|rx)[\s*_\"']*:?[\s*_]*"
)
"""A line that is the label of the line below it."""

_BROKEN = re.compile(
    r"(?:[\w.]@|[\w.-]-|=|\+?\d[\d ()-]{2,})\r?\n[ \t]*(?:[\w.-]+\.[a-z]|[\w.+-]*@|\d{3})|[\w.]\r?\n@[\w-]+\."
)
"""A mail address or a number that goes on in the next line."""

BATCH_LINES = 2048
MIN_LINES_FOR_POOL = 5 * BATCH_LINES
"""Distinct lines after which further processes, which take seconds to start, save time."""
MAX_LINE_CHARS = 20_000
_DIGEST_BYTES = 16
CACHED_TEXTS, MAX_CACHED_TEXT_CHARS = 2048, 16_000
"""The lines of so many texts are cached, so that prompts and histories that recur are not cut each time."""


class _Pending(NamedTuple):
    """Lines that another process scans."""

    numbers: Sequence[int]
    lines: Sequence[str]
    is_prose: Sequence[bool]
    future: Future[EnsembleFindings]


class LineIndex:
    """The findings in each distinct line of the texts that were added."""

    def __init__(
        self,
        ensemble: DetectorEnsemble,
        words: re.Pattern[str] | None = None,
        pool: WorkerPool | None = None,
        *,
        batch_lines: int = BATCH_LINES,
        pool_after: int = MIN_LINES_FOR_POOL,
    ) -> None:
        """
        Args:
            ensemble: the detectors.
            words: a pattern of words; the words of each line are kept where it is given.
            pool: scans a part of the lines of a large log, with the same detectors.
            batch_lines: lines that are scanned together.
            pool_after: lines that are scanned in this process before the pool is used.
        """
        self._ensemble, self._pool = ensemble, pool
        self._batch_lines, self._pool_after = batch_lines, pool_after
        self._n_scanned = 0
        self._pending: list[_Pending] = []
        self._words = words
        self._numbers = LineNumbers(_DIGEST_BYTES)
        self._is_prose = bytearray()
        self._waiting: dict[int, str] = {}
        self._found, self._verification = LineFindings(), LineFindings()
        self._words_of: list[tuple[str, ...]] = []
        self._cached: dict[str, array[int]] = {}
        self._counts = WordCounts()
        self.languages: Counter[str] = Counter()
        """Language -> distinct lines of prose in it, as far as it can be told."""

    @property
    def n_lines(self) -> int:
        """Distinct lines seen; their numbers go from 0 to n_lines - 1."""
        return len(self._numbers)

    def add(self, text: str) -> array[int]:
        """Adds a text and returns the numbers of its lines; scans when a batch of new lines is complete."""
        known = self._cached.get(text)
        if known is not None:
            return known
        numbers = array("I", dict.fromkeys(self._number(line, is_prose) for line, is_prose in lines_of(text)))
        if len(self._waiting) >= self._batch_lines:
            self._scan_waiting()
        return self._cache(text, numbers)

    def scan(self) -> None:
        """Scans every line that was not scanned yet."""
        self._scan_waiting()
        self._collect(wait_for_all=True)

    def lines(self, text: str) -> array[int]:
        """The numbers of the distinct lines of a text that was added."""
        known = self._cached.get(text)
        if known is not None:
            return known
        numbers = array("I", dict.fromkeys(self._numbers[_digest(line)] for line, _ in lines_of(text)))
        return self._cache(text, numbers)

    def numbered_lines(self, text: str) -> Iterator[tuple[int, str]]:
        """(number, line) for each line of a text that was added; a line may occur twice."""
        return ((self._numbers[_digest(line)], line) for line, _ in lines_of(text))

    def findings(self, number: int) -> Iterable[Finding]:
        """The findings in the line of this number, as of the last scan."""
        return self._found.get(number)

    def has_type(self, number: int, kind: str) -> bool:
        """True where the line of this number has a finding of a type."""
        return any(finding.type == kind for finding in self._found.get(number))

    def verification_findings(self, number: int) -> Iterable[Finding]:
        """The findings of the verification pass in the line of this number."""
        return self._verification.get(number)

    def words(self, number: int) -> Iterable[str]:
        """The words of the line of this number, case folded, where they are kept."""
        return self._words_of[number]

    def is_common_word(self, word: str) -> bool:
        """True where a word is an everyday word in this log: it is written in lower case at least half as often as
        capitalised."""
        n_lower_case, n_capitalised = self._counts.of(word.casefold())
        return n_lower_case >= 4 and n_lower_case * 2 >= n_capitalised

    def _cache(self, text: str, numbers: array[int]) -> array[int]:
        if len(text) <= MAX_CACHED_TEXT_CHARS:
            if len(self._cached) >= CACHED_TEXTS:
                self._cached.clear()
            self._cached[text] = numbers
        return numbers

    def _number(self, line: str, is_prose: bool) -> int:
        digest = _digest(line)
        number = self._numbers.get(digest)
        if number is None:
            number = self._numbers.add(digest)
            self._is_prose.append(is_prose)
            self._waiting[number] = line
            self._count_words(line)
            if is_prose and (language := language_of(line)):
                self.languages[language] += 1
        elif is_prose and not self._is_prose[number]:
            self._is_prose[number] = True  # so far the line was JSON syntax only: it is scanned again
            self._waiting[number] = line
        return number

    def _count_words(self, line: str) -> None:
        for raw in line.split() if len(line) < MAX_LINE_CHARS else ():
            word = raw.strip(".,;:!?()\"'*")
            if word.isalpha():
                self._counts.add(word)
        if self._words is not None:
            self._words_of.append(tuple({intern(w.casefold()) for w in self._words.findall(line)}))

    def _scan_waiting(self) -> None:
        waiting, self._waiting = list(self._waiting.items()), {}
        for start in range(0, len(waiting), self._batch_lines):
            numbers, lines = zip(*waiting[start : start + self._batch_lines], strict=True)
            is_prose = [bool(self._is_prose[number]) for number in numbers]
            self._n_scanned += len(lines)
            future = None
            if self._pool is not None and self._n_scanned > self._pool_after:
                future = self._pool.submit(lines, is_prose)
                self._collect(wait_for_all=False)
            if future is None:
                self._store(numbers, is_prose, self._ensemble.detect(lines, is_prose))
            else:
                self._pending.append(_Pending(numbers, lines, is_prose, future))

    def _collect(self, wait_for_all: bool) -> None:
        """Collects the findings of other processes; lines of a process that died are scanned here."""
        unfinished: list[_Pending] = []
        for batch in self._pending:
            numbers, lines, is_prose, future = batch
            if not (wait_for_all or future.done()):
                unfinished.append(batch)
            elif future.exception() is None:
                self._store(numbers, is_prose, future.result())
            else:
                _log.warning(
                    "A process that looked for personal data has died; its lines are scanned again in this process."
                )
                self._store(numbers, is_prose, self._ensemble.detect(lines, is_prose))
        self._pending = unfinished

    def _store(self, numbers: Sequence[int], is_prose: Sequence[bool], results: EnsembleFindings) -> None:
        for number, as_prose, found, verification in zip(numbers, is_prose, *results, strict=True):
            if self._is_prose[number] and not as_prose:
                continue  # the line has been added as prose since then, and is scanned as prose
            for target, findings in ((self._found, found), (self._verification, verification)):
                if findings:
                    target.put(number, findings)


def _digest(line: str) -> bytes:
    return blake2b(line.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES).digest()


def lines_of(text: str) -> Iterator[tuple[str, bool]]:
    """(line, whether it is prose) for each line of a text; of JSON also the lines of its strings. Values that go over
    several lines or are encoded follow as further lines, not as prose."""
    parsed = parse_json(text)
    if parsed is not None and "\\u" in text:
        text = json.dumps(parsed, ensure_ascii=False)  # patterns match letters, not their escapes
    for line in _split_lines(text):
        yield line, parsed is None
    if parsed is None and ("\n" in text or "<th" in text):
        for cell in table_cells(text.split("\n")):
            yield cell, False
    for part in [text] if parsed is None else leaves(parsed):
        if parsed is not None:
            for line in _split_lines(part):
                yield line, True
        for line in _joined_or_decoded(part):
            yield line, False


def _joined_or_decoded(text: str) -> Iterator[str]:
    """Private keys as a whole, a label with the value in the line below it, and lines after percent-decoding."""
    if "PRIVATE KEY-----" in text:
        yield from _PEM.findall(text)
    if "\n" in text:
        for above, below in pairwise(text.split("\n")):
            if len(above) <= 60 and 0 < len(below.strip()) <= 200 and _belongs_below(above):
                yield f"{above}\n{below}"
            elif _BROKEN.search(f"{above[-80:]}\n{below[:80]}"):
                yield f"{above[-400:]}\n{below[:400]}"
    if "%" in text:
        for line in _split_lines(text):
            if (plain := unquote(line)) != line:
                yield plain


def _belongs_below(above: str) -> bool:
    """True where a line is the label, or the good-bye, above what belongs to it."""
    return bool(_LABEL_LINE.fullmatch(above) or SIGN_OFF_LINE.fullmatch(above))


def _split_lines(text: str) -> Iterable[str]:
    for line in text.split("\n"):
        if len(line) > MAX_LINE_CHARS:
            yield from _overlapping_parts(line)
        elif line and not line.isspace():
            yield line


def _overlapping_parts(line: str) -> Iterable[str]:
    """A very long line in parts that overlap, so that nothing is missed at a cut."""
    overlap = 200
    for start in range(0, len(line), MAX_LINE_CHARS - overlap):
        yield line[start : start + MAX_LINE_CHARS]
