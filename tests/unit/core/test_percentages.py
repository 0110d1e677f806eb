"""Shares as people read them."""

from __future__ import annotations

import pytest

from deputize.core.percentages import percent, whole_percent


@pytest.mark.parametrize(
    ("share", "short", "whole"),
    [
        (0.0, "0 %", "0 %"),
        (0.005, "0.5 %", "0 %"),
        (0.02, "2 %", "2 %"),
        (0.9849, "98.5 %", "98 %"),
        (1.0, "100 %", "100 %"),
    ],
)
def test_shares(share: float, short: str, whole: str) -> None:
    assert (percent(share), whole_percent(share)) == (short, whole)
