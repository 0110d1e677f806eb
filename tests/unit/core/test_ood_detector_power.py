"""The power of a detector is the mean over kinds of change; it has none where nothing was measured."""

from __future__ import annotations

import pytest

from deputize.core.ood_detector_power import OutOfDistributionDetectorPower


def test_power_is_the_mean_over_kinds() -> None:
    made = OutOfDistributionDetectorPower(
        n_groups=200, p_value=0.05, flagged_as_they_are=0.04, flagged_when_changed={"a": 0.9, "b": 0.2}
    )
    assert made.power == pytest.approx(0.55)
    assert OutOfDistributionDetectorPower(n_groups=200, p_value=0.05, flagged_as_they_are=0.04).power == 0.0
