"""How much personal data a detector finds, and how much else it takes: counted in characters and in spans.

White space is counted on neither side. Types are not compared: what is masked under a wrong name is masked.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Protocol

from deputize.privacy.entity_types import INDIRECT
from deputize.privacy.tagger.labelled_text import Label, Sample

DIRECT = "direct_identifier"


class Interval(Protocol):
    """Anything with a start and an end in characters."""

    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...


class DetectionCounts:
    """Counts over samples; add() as they come, read the figures at any time.

    Every share is None while its denominator is 0.
    """

    def __init__(self) -> None:
        self.n_samples = 0
        self.gold = self.hit = self.found = self.right = 0
        self.gold_direct = self.hit_direct = 0
        self.spans = self.spans_hit = self.spans_direct = self.spans_direct_hit = 0
        self.found_spans = self.found_right = 0
        self.clean = self.touched = self.clean_chars = self.touched_chars = 0
        self.by_type: Counter[str] = Counter()
        self.hit_by_type: Counter[str] = Counter()
        """Spans per type; and those of them that were covered."""

    def add(self, sample: Sample, found: Iterable[Interval]) -> None:
        """Counts one sample and what a detector found in it (spans may overlap)."""
        text = sample.text
        counted = _counted(text)
        stretches = sorted({(s.start, s.end) for s in found})
        cover = _cover(stretches, len(text))
        gold = _cover([(s.start, s.end) for s in sample.spans], len(text))
        self.n_samples += 1
        self.gold += _weight(gold, counted)
        self.found += _weight(cover, counted)
        both = _both(gold, cover)
        right = _weight(both, counted)
        self.hit += right
        self.right += right
        direct = [s for s in sample.spans if _is_direct(s)]
        gold_direct = _cover([(s.start, s.end) for s in direct], len(text))
        self.gold_direct += _weight(gold_direct, counted)
        self.hit_direct += _weight(_both(gold_direct, cover), counted)
        for span in sample.spans:
            covered = _is_covered(span, text, cover)
            self.spans += 1
            self.spans_hit += covered
            self.by_type[span.type] += 1
            self.hit_by_type[span.type] += covered
            if _is_direct(span):
                self.spans_direct += 1
                self.spans_direct_hit += covered
        for start, end in stretches:
            weight = _weight(cover[start:end], counted[start:end])
            self.found_spans += 1
            self.found_right += 2 * _weight(both[start:end], counted[start:end]) >= weight > 0
        if not sample.spans:
            self.clean += 1
            self.touched += bool(stretches)
            self.clean_chars += sum(counted)
            self.touched_chars += _weight(cover, counted)

    def figures(self) -> dict[str, float | None]:
        """Shares in [0, 1]. over_masking: share of samples without a label in which anything was found."""
        recall, precision = _share(self.hit, self.gold), _share(self.right, self.found)
        return {
            "char_recall": recall,
            "char_precision": precision,
            "char_f2": f_beta(precision, recall),
            "char_recall_direct": _share(self.hit_direct, self.gold_direct),
            "span_recall": _share(self.spans_hit, self.spans),
            "span_recall_direct": _share(self.spans_direct_hit, self.spans_direct),
            "span_precision": _share(self.found_right, self.found_spans),
            "over_masking": _share(self.touched, self.clean),
            "over_masking_chars": _share(self.touched_chars, self.clean_chars),
        }

    def recall_by_type(self) -> dict[str, tuple[int, int]]:
        """type -> (labelled spans covered as a whole, labelled spans), most frequent first."""
        return {kind: (self.hit_by_type[kind], n) for kind, n in self.by_type.most_common()}


def f_beta(precision: float | None, recall: float | None, beta: float = 2.0) -> float | None:
    """The F measure that counts recall beta times as much as precision; None where either is."""
    if precision is None or recall is None:
        return None
    if precision == recall == 0:
        return 0.0
    return (1 + beta**2) * precision * recall / (beta**2 * precision + recall)


def _is_direct(label: Label) -> bool:
    """By what the set says; where it says nothing, by our list of types that only narrow down who it is."""
    return label.sensitivity == DIRECT if label.sensitivity else label.type not in INDIRECT


def _counted(text: str) -> bytes:
    return bytes(not c.isspace() for c in text)


def _cover(stretches: Sequence[tuple[int, int]], length: int) -> bytes:
    out = bytearray(length)
    for start, end in stretches:
        start, end = max(0, start), min(end, length)
        if start < end:
            out[start:end] = b"\1" * (end - start)
    return bytes(out)


def _both(a: bytes, b: bytes) -> bytes:
    return (int.from_bytes(a) & int.from_bytes(b)).to_bytes(len(a))


def _weight(cover: bytes, counted: bytes) -> int:
    # each byte is 0 or 1, so the bits that are set are the characters; one big integer beats a loop by far
    return (int.from_bytes(cover) & int.from_bytes(counted)).bit_count()


def _is_covered(span: Label, text: str, cover: bytes) -> bool:
    """True where every letter and digit of a span is masked (a comma left over gives nothing away)."""
    return all(cover[i] for i in range(span.start, span.end) if text[i].isalnum()) and any(
        cover[span.start : span.end]
    )


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
