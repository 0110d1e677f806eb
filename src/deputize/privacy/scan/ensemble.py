"""Several detectors as one: a batch of lines goes to each detector that could still find something in it. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from deputize.privacy.detectors.base import UNSURE_SCORE, Detector, Span
from deputize.privacy.detectors.spans import merge_spans
from deputize.privacy.entity_types import FUZZY

_LABEL = re.compile(r"[\s*#>•-]*[^\W\d_][\w /&'-]{0,30}[:=]\**(?=\s|$)")
_CAPITALISED = re.compile(r"(?<!\w)[^\W\d_a-zà-öø-ÿ][^\W\d_]+")
_WORD_CHARACTER = re.compile(r"\w")


class Finding(NamedTuple):
    """Personal data that was found in a line."""

    type: str
    value: str
    score: float


class EnsembleFindings(NamedTuple):
    """The findings in a batch, line by line. Positions are dropped, so that equal findings are one."""

    found: list[tuple[Finding, ...]]
    verification: list[tuple[Finding, ...]]
    """Of the verification pass."""


class DetectorEnsemble:
    """The detectors of a log."""

    def __init__(
        self, lines: Sequence[Detector], prose: Sequence[Detector] = (), verifiers: Sequence[Detector] = ()
    ) -> None:
        """
        Args:
            lines: are shown whole lines.
            prose: are shown sentences only: the strings inside JSON, never its syntax.
            verifiers: of the verification pass; are shown whole lines.
        """
        # slow ones come last: what the others have covered is not shown to them
        self._lines = sorted(lines, key=_skips_covered_lines)
        self._prose = tuple(prose)
        self._verifiers = tuple(verifiers)

    @property
    def names(self) -> list[str]:
        """The name of each detector but those of the verification pass."""
        return [d.name for d in (*self._lines, *self._prose)]

    def detect(self, lines: Sequence[str], is_prose: Sequence[bool]) -> EnsembleFindings:
        """The findings in each line.

        Args:
            lines: a batch.
            is_prose: for each line, whether it is prose and not the syntax of JSON.
        """
        found = self._found(lines, is_prose)
        verification = [d.detect(lines) for d in self._verifiers]
        return EnsembleFindings(
            [_findings(line, row) for line, row in zip(lines, found, strict=True)],
            [_findings(line, [row[i] for row in verification]) for i, line in enumerate(lines)],
        )

    def spans(self, lines: Sequence[str], is_prose: Sequence[bool]) -> list[list[Span]]:
        """The merged spans in each line, without the verification pass. Arguments as of `detect`."""
        return [merge_spans(row) for row in self._found(lines, is_prose)]

    def _found(self, lines: Sequence[str], is_prose: Sequence[bool]) -> list[list[Sequence[Span]]]:
        """For each line, the spans of each detector that was shown it."""
        found: list[list[Sequence[Span]]] = [[] for _ in lines]
        everything = range(len(lines))
        for detector in self._lines:
            shown: Sequence[int] = everything
            if _skips_covered_lines(detector):
                shown = [i for i in everything if has_uncovered_text(lines[i], found[i])]
            _detect_in(detector, shown, lines, found)
        prose = [i for i in everything if is_prose[i]]
        for detector in self._prose:
            shown = prose
            if getattr(detector, "skips_lines_without_names", False):
                shown = [i for i in prose if has_uncovered_name(lines[i], found[i])]
            _detect_in(detector, shown, lines, found)
        return found


def _skips_covered_lines(detector: Detector) -> bool:
    return bool(getattr(detector, "skips_covered_lines", False))


def _detect_in(
    detector: Detector, shown: Sequence[int], lines: Sequence[str], found: list[list[Sequence[Span]]]
) -> None:
    """Adds to `found` what a detector finds in the lines of the given indices."""
    for i, spans in zip(shown, detector.detect([lines[i] for i in shown]), strict=True):
        found[i].append(spans)


def _findings(line: str, found: Iterable[Sequence[Span]]) -> tuple[Finding, ...]:
    return tuple(
        dict.fromkeys(
            Finding(s.type, value, s.score)
            for s in merge_spans(found)
            for value in _written_forms(s.type, line[s.start : s.end])
        )
    )


def _written_forms(kind: str, value: str) -> tuple[str, ...]:
    """A value as written, each of its long lines, and the value after decoding as a JSON string: inside JSON it is
    replaced after decoding."""
    if kind in FUZZY:
        value = value.strip(" \t.,;:!?") or value  # the remainder of a longer finding may begin with a mark
    if "\n" in value:
        return (value, *(line for line in value.split("\n") if len(line) >= 16))
    if "\\" not in value:
        return (value,)
    try:
        decoded = json.loads(f'"{value}"', strict=False)
    except ValueError:
        return (value,)
    return (value, decoded) if decoded.strip() else (value,)


def has_uncovered_name(line: str, found: Iterable[Sequence[Span]]) -> bool:
    """True where a line has a capitalised word outside of its `Label:` and outside of all findings."""
    covered = _covered_intervals(line, (s for spans in found for s in spans))
    return any(not _is_covered(word, covered) for word in _CAPITALISED.finditer(line))


def has_uncovered_text(line: str, found: Iterable[Sequence[Span]]) -> bool:
    """True where any word of a line is outside of its `Label:` and outside of all findings that are sure.

    A label of several capitalised words counts as text: it may be the name of the person who speaks.
    """
    covered = _covered_intervals(line, (s for spans in found for s in spans if s.score > UNSURE_SCORE))
    label = _LABEL.match(line)
    if label and len(_CAPITALISED.findall(label[0])) > 1:
        covered.pop()
    return any(not _is_covered(char, covered) for char in _WORD_CHARACTER.finditer(line))


def _covered_intervals(line: str, spans: Iterable[Span]) -> list[tuple[int, int]]:
    label = _LABEL.match(line)
    return [*((s.start, s.end) for s in spans), *([label.span()] if label else [])]


def _is_covered(match: re.Match[str], covered: Sequence[tuple[int, int]]) -> bool:
    return any(start <= match.start() and match.end() <= end for start, end in covered)
