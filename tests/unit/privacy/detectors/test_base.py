"""Spans are values: equal by content, and not to be changed."""

from __future__ import annotations

import pytest

from deputize.privacy.detectors.base import Span


def test_a_span_is_a_value() -> None:
    span = Span("PERSON", 0, 3, 0.9, "rules")
    assert span == Span("PERSON", 0, 3, 0.9, "rules") and len({span, Span("PERSON", 0, 3, 0.9, "rules")}) == 1
    with pytest.raises(AttributeError):
        span.start = 1  # type: ignore[misc]
