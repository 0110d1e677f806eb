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


def test_a_correction_is_a_text_or_a_message() -> None:
    text = read_feedback(b'{"call_id":"c","correction":"refund"}')
    assert text.correction == {"role": "assistant", "content": "refund"} and text.call_id == "c"
    calls = [{"id": "1", "type": "function", "function": {"name": "close", "arguments": "{}"}}]
    body = json.dumps({"call_id": "c", "correction": {"content": None, "tool_calls": calls}}).encode()
    assert read_feedback(body).correction == {"role": "assistant", "content": None, "tool_calls": calls}


@pytest.mark.parametrize(
    "correction",
    ["", 3, {}, {"content": 3}, {"tool_calls": []}, {"tool_calls": [{"function": {"name": "x"}}]}],
)
def test_no_correction_is_refused(correction: Any) -> None:
    with pytest.raises(BadInput, match="'correction'"):
        read_feedback(json.dumps({"call_id": "c", "correction": correction}).encode())


def test_a_correction_of_an_episode_is_refused() -> None:
    with pytest.raises(BadInput, match="one call"):
        read_feedback(b'{"episode":"e","correction":"refund"}')
