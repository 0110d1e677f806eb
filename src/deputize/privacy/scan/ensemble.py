"""What the detectors find in a batch of lines, each shown only to those that could find more in it. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from deputize.privacy.detectors.base import FUZZY, Detector, Span, union
from deputize.privacy.detectors.spacy_ner import UNSURE_SCORE

_HEAD = re.compile(r"[\s*#>•-]*[^\W\d_][\w /&'-]{0,30}[:=]\**(?=\s|$)")
_CAPITALISED = re.compile(r"(?<!\w)[^\W\d_a-zà-öø-ÿ][^\W\d_]+")
_SAYS = re.compile(r"\w")


class Finding(NamedTuple):
    """What was found in a line."""

    type: str
    value: str
    score: float


class EnsembleFindings(NamedTuple):
    """What was found in a batch, line by line; places do not matter any more, so equal findings are one."""

    first: list[tuple[Finding, ...]]
    second: list[tuple[Finding, ...]]
    """By the second look, kept apart."""


class DetectorEnsemble:
    """The detectors of a log."""

    def __init__(
        self, lines: Sequence[Detector], prose: Sequence[Detector] = (), second: Sequence[Detector] = ()
    ) -> None:
        """
        Args:
            lines: read whole lines.
            prose: read sentences only: the strings inside JSON, never its syntax.
            second: look a second time, at whole lines.
        """
        # slow ones come last: what the others have wholly claimed is not shown to them
        self._lines = sorted(lines, key=_needs_rest)
        self._prose = tuple(prose)
        self._second = tuple(second)

    @property
    def names(self) -> list[str]:
        """Of the detectors of the first look."""
        return [d.name for d in (*self._lines, *self._prose)]

    def read(self, lines: Sequence[str], is_prose: Sequence[bool]) -> EnsembleFindings:
        """What is found in each line; `is_prose`: whether it is no JSON syntax."""
        found: list[list[Sequence[Span]]] = [[] for _ in lines]
        every = range(len(lines))
        for detector in self._lines:
            _add(
                detector,
                [i for i in every if has_rest(lines[i], found[i])] if _needs_rest(detector) else every,
                lines,
                found,
            )
        at = [i for i in every if is_prose[i]]
        for detector in self._prose:
            only = getattr(detector, "reads_capitals", False)
            _add(detector, [i for i in at if has_name(lines[i], found[i])] if only else at, lines, found)
        seconds = [d.detect(lines) for d in self._second]
        return EnsembleFindings(
            [_findings(line, row) for line, row in zip(lines, found, strict=True)],
            [_findings(line, [row[i] for row in seconds]) for i, line in enumerate(lines)],
        )


def _needs_rest(detector: Detector) -> bool:
    return bool(getattr(detector, "reads_rest", False))


def _add(
    detector: Detector, at: Sequence[int], lines: Sequence[str], found: list[list[Sequence[Span]]]
) -> None:
    for i, spans in zip(at, detector.detect([lines[i] for i in at]), strict=True):
        found[i].append(spans)


def _findings(line: str, found: Iterable[Sequence[Span]]) -> tuple[Finding, ...]:
    return tuple(
        dict.fromkeys(
            Finding(s.type, value, s.score)
            for s in union(found)
            for value in _readings(s.type, line[s.start : s.end])
        )
    )


def _readings(kind: str, value: str) -> tuple[str, ...]:
    """A value as it stands, its long lines one by one, and as a string of JSON would mean it: inside JSON it is replaced
    where it is decoded."""
    if kind in FUZZY:
        value = value.strip(" \t.,;:!?") or value  # what is left of a longer finding may begin with a mark
    if "\n" in value:
        return (value, *(line for line in value.split("\n") if len(line) >= 16))
    if "\\" not in value:
        return (value,)
    try:
        meant = json.loads(f'"{value}"', strict=False)
    except ValueError:
        return (value,)
    return (value, meant) if meant.strip() else (value,)


def has_name(line: str, found: Iterable[Sequence[Span]]) -> bool:
    """Whether a line holds a capitalised word outside its `Label:` head and outside of what was found already."""
    covered = _covered(line, (s for spans in found for s in spans))
    return any(not _lies_in(word, covered) for word in _CAPITALISED.finditer(line))


def has_rest(line: str, found: Iterable[Sequence[Span]]) -> bool:
    """Whether anything of a line is neither its `Label:` head nor in what was found with confidence."""
    covered = _covered(line, (s for spans in found for s in spans if s.score > UNSURE_SCORE))
    return any(not _lies_in(char, covered) for char in _SAYS.finditer(line))


def _covered(line: str, spans: Iterable[Span]) -> list[tuple[int, int]]:
    head = _HEAD.match(line)
    return [*((s.start, s.end) for s in spans), *([head.span()] if head else [])]


def _lies_in(match: re.Match[str], covered: Sequence[tuple[int, int]]) -> bool:
    return any(start <= match.start() and match.end() <= end for start, end in covered)
