"""Evidence for the type of a field: on validation, is its value one of a closed set, or does it occur in the request?

A count of distinct values cannot tell the two apart: a product name that is copied from the request recurs as a label
does, once the log is long enough.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from deputize.core.group_order import groups_in_order
from deputize.core.records import Example
from deputize.stages.cluster.prose import request_text

MIN_VALIDATION = 8
"""Validation values from which they decide; with fewer, all values are looked at."""
COPIED = 0.9
"""Share of the values that must occur in their requests before the field counts as copied."""
MOST_ELSEWHERE = 0.5
"""Share of the requests that may hold the value of another call as well: a list of all labels is in every request."""
SLACK = 0.02
"""By how much a closed set must cover more of the values than are in their requests to be preferred."""
_OTHERS = (1, 3, 7, 12)
_SAMPLE = 400
_HELD_OUT_PART = 5


class FieldEvidence(NamedTuple):
    """Shares of a field's values on validation."""

    n: int
    """Validation values; 0 where they were too few, and all values were looked at instead."""
    copied: float
    """That are in their own request, of those that could (text and numbers)."""
    elsewhere: float
    """That are in the request of another call with another value."""
    covered: float
    """That were seen in train; without validation the share of values that more than one call has."""

    @property
    def is_copied(self) -> bool:
        """True where copying predicts the values at least as well as a closed set could."""
        told_apart = self.copied >= COPIED and self.elsewhere <= MOST_ELSEWHERE
        return told_apart and self.copied >= self.covered - SLACK


def field_evidence(pairs: Sequence[tuple[Example, object]]) -> FieldEvidence:
    """The evidence on the validation values of a field, given the values in train.

    Args:
        pairs: examples of train and validation, each with its value.
    """
    held, rest = _held_out(pairs)
    counts = Counter(_key(v) for _, v in rest)
    n, least = len(held), 1
    if n < MIN_VALIDATION:
        held, n, least = list(pairs), 0, 2
        counts = Counter(_key(v) for _, v in pairs)
    held = held[:: max(1, len(held) // _SAMPLE)]
    covered = sum(counts[_key(v)] >= least for _, v in held) / len(held) if held else 0.0
    texts = [request_text(e.request.messages) for e, _ in held]
    own = n_own = other = n_other = 0
    for i, (_, value) in enumerate(held):
        written = _written(value)
        if not written:
            continue
        n_own += 1
        own += _stands(written, texts[i])
        for step in _OTHERS:
            at = (i + step) % len(held)
            if _key(held[at][1]) != _key(value):
                n_other += 1
                other += _stands(written, texts[at])
    # of a field that is mostly empty, or true and false, nothing can be copied
    copied = own / n_own if n_own >= 0.5 * len(held) and n_own else 0.0
    return FieldEvidence(n, copied, other / n_other if n_other else 1.0, covered)


def _held_out(
    pairs: Sequence[tuple[Example, object]],
) -> tuple[list[tuple[Example, object]], list[tuple[Example, object]]]:
    """(validation, the others); where there is no validation, the calls of each fifth group in its place, if those are
    enough."""
    held = [(e, v) for e, v in pairs if e.split == "validation"]
    if held:
        return held, [(e, v) for e, v in pairs if e.split != "validation"]
    part = {*groups_in_order(e.group for e, _ in pairs)[::_HELD_OUT_PART]}
    held = [(e, v) for e, v in pairs if e.group in part]
    rest = [(e, v) for e, v in pairs if e.group not in part]
    return (held, rest) if len(held) >= MIN_VALIDATION and rest else ([], list(pairs))


def stands_in_request(example: Example, value: object) -> bool:
    """True where a value is in its request as a word or words of its own."""
    written = _written(value)
    return bool(written) and _stands(written, request_text(example.request.messages))


def _key(value: object) -> tuple[str, str]:
    return type(value).__name__, repr(value)


def _written(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return ""
    return str(value).strip()


def _stands(written: str, text: str) -> bool:
    """True where a text holds a value between word boundaries, its first letter in upper or lower case."""
    for form in {written, written[:1].lower() + written[1:]}:
        start = text.find(form)
        while start >= 0:
            end = start + len(form)
            if not _joined(text[start - 1 : start], form[:1]) and not _joined(form[-1:], text[end : end + 1]):
                return True
            start = text.find(form, start + 1)
    return False


def _joined(left: str, right: str) -> bool:
    return bool(re.fullmatch(r"\w\w", left + right))
