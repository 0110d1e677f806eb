"""The tokens that a call may take, told from its request: what is set aside of its key's budget until it is answered."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from deputize.core.records import Usage
from deputize.wire.json_fields import MOST_TOKENS

LIKELY_COMPLETION = 4096
"""Tokens that are set aside for an answer whose length the request does not limit."""
_BYTES_PER_TOKEN = 4
_LONGEST_NUMBER = 20
_LIMITS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
_ANSWERS = ("n", "best_of")
"""Fields that ask for several answers to one prompt; where both are given the greater one is written."""


def expected_usage(fields: Mapping[str, Any], body: bytes) -> Usage:
    """Four bytes a token of the request, and as long an answer as it allows, for each answer that it asks for.

    Args:
        fields: the decoded body.
        body: its bytes.
    """
    longest = max(_count(fields.get(name)) for name in _LIMITS) or LIKELY_COMPLETION
    # some servers read "1000" as a number, others leave it out: the greater one is set aside
    longest = max(longest, *(_written(fields.get(name)) for name in _LIMITS))
    many = max(max(_count(value), _written(value)) for value in map(fields.get, _ANSWERS))
    answers = max(1, many) * _n_prompts(fields.get("prompt"))
    return Usage(
        prompt_tokens=len(body) // _BYTES_PER_TOKEN,
        completion_tokens=min(longest * answers, MOST_TOKENS),
        estimated=True,
    )


def _count(value: Any) -> int:
    """A number of a request as servers read it (1e3 is 1000); 0 for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not value > 0:
        return 0
    return MOST_TOKENS if value >= MOST_TOKENS else math.ceil(value)


def _written(value: Any) -> int:
    """The number that a text says; 0 for anything else."""
    try:
        return _count(float(value)) if isinstance(value, str) and len(value) <= _LONGEST_NUMBER else 0
    except ValueError:
        return 0


def _n_prompts(prompt: Any) -> int:
    """The prompts of a completion: a list of texts or of lists of tokens; one list of tokens is one."""
    if isinstance(prompt, list) and prompt and not isinstance(prompt[0], int | float):
        return len(prompt)
    return 1
