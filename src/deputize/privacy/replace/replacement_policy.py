"""The privacy level as a policy: what is replaced, masked and paraphrased, and which calls are quarantined.

The level is read once, by `policy_of`; all other code asks the policy.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from deputize.privacy.entity_types import INDIRECT

PrivacyLevel = Literal["standard", "strict", "paraphrase", "paranoid"]


class ReplacementPolicy(NamedTuple):
    """Rules for what happens to the personal data of a log."""

    replaces_indirect: bool
    """Types that only narrow down who somebody is (entity_types.INDIRECT) are replaced, and looked for in prose."""
    replaces_numbers: bool
    """Numeric details are replaced too, and calls are quarantined whose answer would no longer follow from the
    prompt."""
    paraphrases: bool
    """Prose with sensitive terms is paraphrased, where a model for it is named."""
    masks_unknown_words: bool
    """Every word is masked that is neither the application's nor used by many people."""

    def replaces(self, entity_type: str) -> bool:
        """True where values of a type are replaced. An unknown type, of a user's own detector, counts as direct."""
        return self.replaces_indirect or entity_type not in INDIRECT


_POLICIES: dict[PrivacyLevel, ReplacementPolicy] = {
    "standard": ReplacementPolicy(False, False, False, False),
    "strict": ReplacementPolicy(True, False, False, False),
    "paraphrase": ReplacementPolicy(True, True, True, False),
    "paranoid": ReplacementPolicy(True, False, False, True),
}


def policy_of(level: PrivacyLevel) -> ReplacementPolicy:
    """The policy of a privacy level."""
    return _POLICIES[level]
