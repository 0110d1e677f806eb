"""The contract suite of key providers passes a good one; broken ones: contracts/test_key_providers.py."""

from __future__ import annotations

from typing import Any

import pytest
from tests.a_users_key_provider import Paper

from deputize.testing import check_key_provider


class Talkative(Paper):
    def spec(self) -> dict[str, Any]:
        return {"kind": self.kind, "last": bytes(range(32)).hex()}


def test_a_good_provider_passes_and_one_that_names_a_key_does_not() -> None:
    check_key_provider(lambda: Paper(b"p" * 32))
    with pytest.raises(AssertionError, match="nothing secret"):
        check_key_provider(lambda: Talkative(b"p" * 32))
