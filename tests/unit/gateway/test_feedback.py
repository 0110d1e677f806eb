"""Feedback in request bodies."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deputize.core.errors import BadInput
from deputize.gateway.feedback import CallerFeedback, read_feedback


def test_feedback_is_read() -> None:
    body = b'{"episode":"e","metric":"success","value":true}'
    assert read_feedback(body) == CallerFeedback("success", 1.0, "e")


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"metric": "m", "value": 1}, "either"),
        ({"episode": "e", "call_id": "c", "metric": "m", "value": 1}, "either"),
        ({"episode": "e", "value": 1}, "'metric'"),
        ({"episode": "e", "metric": "m", "value": "high"}, "'value'"),
    ],
)
def test_what_is_missing_is_said(fields: dict[str, Any], why: str) -> None:
    with pytest.raises(BadInput, match=why):
        read_feedback(json.dumps(fields).encode())
