"""Finds the personal data of a whole log while looking at each distinct line once.

Most of a log of agent calls says the same again: fixed templates, and steps that repeat the steps before them. So
texts are cut into lines, equal lines are scanned once, and what was found is looked up by line.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from deputize.core.progress import Progress, silent
from deputize.stages.curate.detect import Detector, Span, union
from deputize.stages.curate.texts import leaves, parse_json

_HEAD = re.compile(r"[\s*#>•-]*[^\W\d_][\w /&'-]{0,30}[:=]\**(?=\s|$)")
_CAPITALISED = re.compile(r"(?<!\w)[^\W\d_a-zà-öø-ÿ][^\W\d_]+")

BATCH_UNITS = 2048
LONGEST_UNIT_CHARS = 20_000


class Finding(Span, frozen=True):
    """A span with the text it covers."""

    value: str = ""


class Scanner:
    """What the detectors found in each distinct line, and which lines each distinct text is made of."""

    def __init__(self, detectors: Sequence[Detector], prose_detectors: Sequence[Detector] = ()) -> None:
        """`prose_detectors` read sentences only: the strings inside JSON, never its syntax."""
        self._detectors = tuple(detectors)
        self._prose = tuple(prose_detectors)
        self._units: dict[str, int] = {}
        self._is_prose: list[bool] = []
        self._found: dict[int, tuple[Finding, ...]] = {}
        self._of_text: dict[str, tuple[int, ...]] = {}
        self._done = 0
        self._listed: list[str] = []
        self._n_words: Counter[str] = Counter()
        self._n_names: Counter[str] = Counter()

    @property
    def n_units(self) -> int:
        """Distinct lines seen."""
        return len(self._units)

    def add(self, text: str) -> None:
        """Takes note of a text; equal texts cost a look-up."""
        if text in self._of_text:
            return
        parsed = parse_json(text)
        units: list[int] = []
        for line in _lines(text):
            units.append(self._unit(line, prose=parsed is None))
        if parsed is not None:
            for leaf in leaves(parsed):
                for line in _lines(leaf):
                    units.append(self._unit(line, prose=True))
        self._of_text[text] = tuple(dict.fromkeys(units))

    def scan(self, progress: Progress = silent) -> None:
        """Runs the detectors over every line not scanned yet."""
        lines = list(self._units)
        for start in range(self._done, len(lines), BATCH_UNITS):
            batch = lines[start : start + BATCH_UNITS]
            prose_at = [i for i in range(len(batch)) if self._is_prose[start + i]]
            found: list[list[Sequence[Span]]] = [[] for _ in batch]
            for detector in self._detectors:
                for row, spans in zip(found, detector.detect(batch), strict=True):
                    row.append(spans)
            for detector in self._prose:
                wanted = prose_at
                if getattr(detector, "reads_capitals", False):
                    wanted = [i for i in prose_at if _is_open(batch[i], found[i])]
                for i, spans in zip(wanted, detector.detect([batch[i] for i in wanted]), strict=True):
                    found[i].append(spans)
            for i, row in enumerate(found):
                joined = union(row)
                if joined:
                    self._found[start + i] = tuple(
                        Finding(s.type, s.start, s.end, s.score, s.detector, batch[i][s.start : s.end])
                        for s in joined
                    )
            progress("looking for personal data", min(start + BATCH_UNITS, len(lines)), len(lines))
        self._done = len(lines)

    def findings(self, text: str) -> Iterable[Finding]:
        """What was found in a text that was added before the last scan."""
        for unit in self._of_text[text]:
            yield from self._found.get(unit, ())

    def findings_of_line(self, number: int) -> Iterable[Finding]:
        """What was found in the line of a number."""
        return self._found.get(number, ())

    def lines(self, text: str) -> tuple[int, ...]:
        """The numbers of the distinct lines of a text."""
        return self._of_text[text]

    def line(self, number: int) -> str:
        """The line of a number."""
        if len(self._listed) != len(self._units):
            self._listed = list(self._units)
        return self._listed[number]

    def is_ordinary(self, word: str) -> bool:
        """Whether a capitalised word is an everyday one in this log: it is written in lower case as often."""
        folded = word.casefold()
        return self._n_words[folded] >= 4 and self._n_words[folded] * 2 >= self._n_names[folded]

    def _unit(self, line: str, prose: bool) -> int:
        number = self._units.get(line)
        if number is None:
            number = self._units[line] = len(self._units)
            self._is_prose.append(prose)
            for raw in line.split() if len(line) < LONGEST_UNIT_CHARS else ():
                word = raw.strip(".,;:!?()\"'*")
                if word.isalpha():
                    if word.islower():
                        self._n_words[word] += 1
                    elif word.istitle():
                        self._n_names[word.casefold()] += 1
        elif prose and not self._is_prose[number] and number >= self._done:
            self._is_prose[number] = True
        return number


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
