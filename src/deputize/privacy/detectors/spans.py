"""Operations on the spans of one text: merge the findings of several detectors, join parts of one value, trim white
space."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Sequence

from deputize.privacy.detectors.base import Detector, Span

JOINING_MARKS = "-._:/@+#"
"""One of these between two spans does not part them: they are one value, such as an address of a machine."""
MIN_REMAINDER_CHARS = 3
"""What an overlap leaves of a span is dropped where it is shorter than this."""


def merge_spans(found: Iterable[Sequence[Span]]) -> list[Span]:
    """The spans of several detectors over one text without overlaps, in order.

    Of spans that overlap the one with the higher score stays, of equals the longer one; what a dropped span covers
    beyond it stays covered under the dropped span's type, so that nothing found is lost.
    """
    ranked = sorted(
        (s for spans in found for s in spans if s.end > s.start),
        key=lambda s: (-s.score, s.start - s.end, s.start),
    )
    kept: list[Span] = []
    for span in ranked:
        for start, end in _uncovered(span, kept):
            if (start, end) == (span.start, span.end):
                insort(kept, span, key=_start)
            elif end - start >= MIN_REMAINDER_CHARS:
                insort(kept, Span(span.type, start, end, span.score, span.detector), key=_start)
    return kept


def _start(span: Span) -> int:
    return span.start


def _uncovered(span: Span, kept: Sequence[Span]) -> list[tuple[int, int]]:
    """The parts of a span, as [start, end), that no kept span covers.

    Args:
        kept: without overlaps, in order: a line may hold ten thousand of them, and only those nearby are looked at.
    """
    parts: list[tuple[int, int]] = []
    done = span.start
    for at in range(max(0, bisect_right(kept, span.start, key=_start) - 1), len(kept)):
        other = kept[at]
        if other.start >= span.end:
            break
        if other.start > done:
            parts.append((done, other.start))
        done = max(done, other.end)
    if done < span.end:
        parts.append((done, span.end))
    return parts


def detect_all(detectors: Sequence[Detector], texts: Sequence[str]) -> list[list[Span]]:
    """The merged findings of all detectors in each text."""
    per_detector = [d.detect(texts) for d in detectors]
    return [merge_spans(found[i] for found in per_detector) for i in range(len(texts))]


def join_adjacent(spans: Sequence[Span], text: str) -> list[Span]:
    """Spans that touch, or have one mark such as a dot between them, as one span of the type with most characters.

    An address like 60.24.26.60 is several words to an encoder; a type that flips inside it, or a dot that is left out,
    would make several surrogates of one value.

    Args:
        spans: in order, without overlap.
        text: the text they are in.
    """
    runs: list[list[Span]] = []
    for span in spans:
        if runs:
            gap = text[runs[-1][-1].end : span.start]
            if not gap or (len(gap) == 1 and gap in JOINING_MARKS):
                runs[-1].append(span)
                continue
        runs.append([span])
    return [run[0] if len(run) == 1 else _joined(run) for run in runs]


def _joined(run: Sequence[Span]) -> Span:
    """One span over a run of spans; its score is their mean by characters."""
    n_chars: dict[str, int] = {}
    for span in run:
        n_chars[span.type] = n_chars.get(span.type, 0) + span.end - span.start
    score = sum(s.score * (s.end - s.start) for s in run) / sum(n_chars.values())
    return Span(
        type=max(n_chars, key=lambda name: n_chars[name]),
        start=run[0].start,
        end=run[-1].end,
        score=round(score, 4),
        detector=run[0].detector,
    )


def trim_span(text: str, kind: str, start: int, end: int, score: float, detector: str) -> list[Span]:
    """The span without white space at its ends, which some tokenizers count in; [] where nothing is left."""
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    return [Span(kind, start, end, round(min(score, 1.0), 4), detector)] if start < end else []
