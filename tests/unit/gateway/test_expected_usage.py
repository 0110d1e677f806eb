"""Tokens that are set aside of a budget, whatever a request asks for."""

from __future__ import annotations

from typing import Any

import pytest

from deputize.gateway.expected_usage import LIKELY_COMPLETION, expected_usage
from deputize.wire.json_fields import MOST_TOKENS


@pytest.mark.parametrize(
    ("fields", "tokens"),
    [
        ({}, LIKELY_COMPLETION),
        ({"max_tokens": 100}, 100),
        ({"max_tokens": 100, "max_completion_tokens": 300, "max_output_tokens": 200}, 300),
        ({"max_tokens": 1e3}, 1000),
        ({"max_tokens": -50}, LIKELY_COMPLETION),
        ({"max_tokens": True}, LIKELY_COMPLETION),
        ({"max_tokens": "100"}, LIKELY_COMPLETION),
        ({"max_tokens": "100000", "n": "3"}, 300_000),
        ({"max_tokens": 100, "n": "many", "best_of": "1e400"}, MOST_TOKENS),
        ({"max_tokens": float("nan")}, LIKELY_COMPLETION),
        ({"max_tokens": 10**400}, MOST_TOKENS),
        ({"max_tokens": float("inf"), "n": 10**400}, MOST_TOKENS),
        ({"max_tokens": 100, "n": 128}, 12_800),
        ({"max_tokens": 100, "n": -128}, 100),
        ({"max_tokens": 100, "n": 2, "best_of": 20}, 2000),
        ({"n": 3}, 3 * LIKELY_COMPLETION),
        ({"prompt": ["one", "two"], "max_tokens": 100, "n": 3}, 600),
        ({"prompt": [[1, 2], [3]], "max_tokens": 100}, 200),
        ({"prompt": [1, 2, 3], "max_tokens": 100}, 100),
        ({"prompt": [], "max_tokens": 100}, 100),
    ],
)
def test_what_a_request_may_take(fields: dict[str, Any], tokens: int) -> None:
    found = expected_usage(fields, b"x" * 400)
    assert (found.prompt_tokens, found.completion_tokens, found.estimated) == (100, tokens, True)
