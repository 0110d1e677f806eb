"""Parameters that change an answer: one name, one written form, nothing that a caller made up."""

from __future__ import annotations

from typing import Any

import pytest

from deputize.core.answer_params import answer_params


@pytest.mark.parametrize(
    "sent",
    [
        {},
        {"stream": True, "stream_options": {"include_usage": True}, "user": "u", "metadata": {"a": "b"}},
        {"service_tier": "flex", "store": True, "prompt_cache_key": "k", "previous_response_id": "r"},
        {"temperature": 1, "top_p": 1.0, "n": 1, "logprobs": False, "parallel_tool_calls": True},
        {"stop": None, "seed": None, "logit_bias": {}, "modalities": ["text"], "frequency_penalty": 0.0},
        {"text": {"format": {"type": "text"}}, "truncation": "disabled", "thinking": {"type": "disabled"}},
    ],
)
def test_what_leaves_the_answer_as_it_is_does_not_count(sent: dict[str, Any]) -> None:
    assert answer_params(sent) == {}


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        ({"temperature": 0}, {"temperature": "0"}),
        ({"temperature": 0.0, "top_p": 0.1}, {"temperature": "0", "top_p": "0.1"}),
        ({"max_completion_tokens": 9}, {"max_tokens": "9"}),
        ({"max_output_tokens": 9}, {"max_tokens": "9"}),
        ({"max_tokens": 20, "max_completion_tokens": 9}, {"max_tokens": "9"}),
        ({"n": 3}, {"n": "3"}),
        ({"top_logprobs": 5}, {"logprobs": "5"}),
        ({"disable_parallel_tool_use": True}, {"parallel_tool_calls": "false"}),
        ({"reasoning_effort": "high"}, {"reasoning_effort": "high"}),
        ({"seed": 12345678901234567}, {"seed": "12345678901234567"}),
    ],
)
def test_protocols_share_names_and_numbers(sent: dict[str, Any], read: dict[str, str]) -> None:
    assert answer_params(sent) == read


def test_what_a_caller_made_up_is_a_digest() -> None:
    sent = {"stop": ["Anna Meier"], "customer": "Anna Meier", "reasoning_effort": "Anna Meier " * 9}
    found = answer_params(sent)
    assert found.keys() == sent.keys() and "Anna" not in repr(found)
    assert all(value.startswith("#") for value in found.values())
    assert answer_params({"logit_bias": {"1": 5, "2": 6}}) == answer_params({"logit_bias": {"2": 6, "1": 5}})
    assert answer_params({"stop": ["a"]}) != answer_params({"stop": ["b"]})
