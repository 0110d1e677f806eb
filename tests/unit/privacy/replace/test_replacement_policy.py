"""The policy of each level."""

from __future__ import annotations

from typing import get_args

import pytest

from deputize.core.config import Convert
from deputize.privacy.entity_types import DIRECT, INDIRECT
from deputize.privacy.replace.replacement_policy import PrivacyLevel, policy_of


def test_every_level_of_the_configuration_has_a_policy() -> None:
    assert get_args(PrivacyLevel) == get_args(Convert.model_fields["privacy"].annotation)
    assert len({policy_of(level) for level in get_args(PrivacyLevel)}) == len(get_args(PrivacyLevel))


@pytest.mark.parametrize("level", get_args(PrivacyLevel))
def test_direct_and_unknown_types_are_replaced_at_every_level(level: PrivacyLevel) -> None:
    policy = policy_of(level)
    assert all(map(policy.replaces, [*DIRECT, "BADGE"]))
    assert all(policy.replaces(kind) == (level != "standard") for kind in INDIRECT)


def test_what_only_one_level_does() -> None:
    levels = get_args(PrivacyLevel)
    assert [level for level in levels if policy_of(level).replaces_numbers] == ["paraphrase"]
    assert [level for level in levels if policy_of(level).paraphrases] == ["paraphrase"]
    assert [level for level in levels if policy_of(level).masks_unknown_words] == ["paranoid"]
