"""How well a specialist's detector of out-of-distribution requests works, as measured when it was made."""

from __future__ import annotations

import msgspec

from deputize.core.records import Record


class OutOfDistributionDetectorPower(Record):
    """Shares of validation calls that a detector notices, as they are and once they were changed."""

    n_groups: int
    """Groups (episodes) of the texts that it compares with."""
    p_value: float
    """Conformal p-value below which a request is left to the LLM."""
    flagged_as_they_are: float
    """Share of validation calls as they are; what of them would have been served is given up."""
    flagged_when_changed: dict[str, float] = msgspec.field(default_factory=dict)
    """Kind of change -> share of validation calls that are noticed once so changed."""

    @property
    def power(self) -> float:
        """Mean share of changed calls that are noticed, over the kinds of change."""
        return sum(self.flagged_when_changed.values()) / max(1, len(self.flagged_when_changed))
