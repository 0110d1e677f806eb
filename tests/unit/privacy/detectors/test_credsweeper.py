"""CredSweeper as a detector; without its package the error names it."""

from __future__ import annotations

from importlib.util import find_spec

import pytest

from deputize.core.errors import MissingExtra
from deputize.privacy.detectors.credsweeper import CredSweeperDetector

TOKEN = "ghp_aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hI6"


def test_it_finds_a_token_in_any_line_or_says_what_to_install() -> None:
    if find_spec("credsweeper") is None:
        with pytest.raises(MissingExtra, match=r"deputize\[secrets\]"):
            CredSweeperDetector()
        return
    text = f"first line\ntoken: {TOKEN}"
    (spans,) = CredSweeperDetector().detect([text])
    assert TOKEN in {text[s.start : s.end] for s in spans}
