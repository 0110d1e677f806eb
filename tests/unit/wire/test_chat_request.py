"""Chat requests."""

from __future__ import annotations

from typing import Any

import pytest

from deputize.core.errors import BadInput
from deputize.wire.chat_request import (
    check_names_one_model,
    model_only_reason,
    params,
    pinned_reason,
    plain_or_parts,
    request_of,
    wants_usage,
)

CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "q"}]}


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({}, None),
        ({"n": 1}, None),
        ({"n": 2}, "params:n"),
        ({"logprobs": True}, "params:logprobs"),
        ({"modalities": ["text"]}, None),
        ({"modalities": ["text", "audio"]}, "params:modalities"),
    ],
)
def test_output_that_only_an_llm_gives(more: dict[str, Any], reason: str | None) -> None:
    assert model_only_reason({**CHAT, **more}) == reason


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({}, None),
        ({"previous_response_id": "x"}, "pinned"),
        ({"conversation": "c"}, "pinned"),
        ({"background": True}, "params:background"),
    ],
)
def test_requests_that_have_to_go_where_an_earlier_one_went(more: dict[str, Any], reason: str | None) -> None:
    assert pinned_reason({**CHAT, **more}) == reason


def test_a_field_given_twice_is_refused() -> None:
    check_names_one_model(b'{"model":"a","metadata":{"model":"b"},"tools":[{"parameters":{"model":{}}}]}')
    with pytest.raises(BadInput, match="more than once"):
        check_names_one_model(b'{"model":"a","Model":"b"}')


@pytest.mark.parametrize("field", ["models", "fallbacks", "Models", "context_window_fallbacks"])
def test_models_to_fall_back_on_are_refused(field: str) -> None:
    with pytest.raises(BadInput, match="fall back"):
        check_names_one_model(b'{"model":"a","%s":["b"]}' % field.encode())


@pytest.mark.parametrize(
    "more",
    [
        '"tools":[{"type":"image_generation","model":"b"}]',
        '"speculative_config":{"Model":"b"}',
        '"x":{"models":[]}',
    ],
)
def test_a_model_for_a_tool_or_a_draft_is_refused(more: str) -> None:
    with pytest.raises(BadInput, match="with a model in"):
        check_names_one_model(f'{{"model":"a",{more}}}'.encode())


def test_the_parts_that_are_read_and_the_rest() -> None:
    fields = {**CHAT, "tools": ["odd"], "temperature": 0.5, "stream_options": {"include_usage": True}}
    assert request_of(fields, agent="a").tools == []
    assert params(fields) == {"temperature": 0.5, "stream_options": {"include_usage": True}}
    assert wants_usage(fields) and not wants_usage(CHAT)


def test_content_of_text_parts_only_is_text() -> None:
    text, image = {"type": "text", "text": "a"}, {"type": "image_url"}
    assert plain_or_parts([text, text]) == "a\na" and plain_or_parts([text, image]) == [text, image]
