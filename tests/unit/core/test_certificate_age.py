"""A certificate holds for so many days and calls, and not a second longer; without a date it does not expire."""

from __future__ import annotations

from typing import Any

import pytest

from deputize.core.certificate_age import DAY_S, expired, renewal
from deputize.core.records import Certificate


def certificate(**given: Any) -> Certificate:
    return Certificate(
        id="c",
        kind="not_worse_than_llm",
        epsilon=0.05,
        delta=0.05,
        n_calibration=100,
        threshold=0.9,
        share_served=1.0,
        p_value=0.01,
        claim="",
        **given,
    )


@pytest.mark.parametrize(
    ("given", "now_s", "is_expired"),
    [
        ({"created_s": 1e9, "renew_after_days": 90.0}, 1e9 + 90 * DAY_S, False),
        ({"created_s": 1e9, "renew_after_days": 90.0}, 1e9 + 90 * DAY_S + 1, True),
        ({"created_s": 1e9}, 1e12, False),
        ({"renew_after_days": 90.0}, 1e12, False),
        ({"created_s": 1e9, "renew_after_days": 90.0}, 0.0, False),
        # a clock that was put back
        ({"created_s": 1e9, "renew_after_days": 90.0}, 1e9 - DAY_S, False),
        ({"created_s": 1e9, "renew_after_days": 90.0}, 1e9 - DAY_S - 1, True),
        ({"created_s": 1e9}, 1e8, False),
    ],
)
def test_expiry(given: dict[str, Any], now_s: float, is_expired: bool) -> None:
    assert expired(certificate(**given), now_s) == is_expired


def test_what_must_be_renewed_says_why() -> None:
    made = certificate(created_s=1e9, renew_after_days=90.0, renew_after_calls=1000)
    assert renewal(made, 1e9 + 91 * DAY_S) == "its certificate is 91 days old and held for 90"
    assert renewal(made, 1e9 - 40 * DAY_S) == "its certificate is dated 40 days after today's date"
    assert renewal(made, 1e9 + DAY_S, 1001) == "its certificate was made 1,001 calls ago and held for 1,000"
    assert renewal(made, 1e9 + DAY_S, 1000) == renewal(certificate(), 1e12, 10**9) == ""
