"""The texts of a request's body: what is rewritten, what is left, what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from deputize.core.errors import BadInput
from deputize.privacy.masking.request_fields import Changes, check_maskable, rewritten_fields

UPPER = Changes(lambda text, name, as_json: text.upper(), lambda number, name: -number, False)


@pytest.mark.parametrize(
    "fields",
    [
        {"previous_response_id": "resp_1"},
        {"conversation": "conv_1"},
        {"background": True},
        {"input": [{"type": "item_reference", "id": "x"}]},
        {"input": [{"id": "x"}]},
        {"input": [1, 2]},
        {"prompt": [[1, 2]]},
    ],
    ids=str,
)
def test_what_the_provider_keeps_and_tokens_cannot_be_masked(fields: dict[str, Any]) -> None:
    with pytest.raises(BadInput, match=r"\[privacy\] live"):
        check_maskable(fields)


def test_a_plain_request_can_be_masked() -> None:
    check_maskable({"input": [{"role": "user", "content": "x"}], "prompt": ["a"], "background": False})


def test_texts_change_and_structure_stays() -> None:
    fields = {
        "model": "m",
        "new_field": {"deep": ["x"]},
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "id": 5}}}],
        "messages": [{"role": "user", "id": "m1", "content": [{"type": "text", "text": "hello"}]}],
        "mcp_servers": [{"authorization_token": "secret"}],
    }
    made = rewritten_fields(fields, UPPER)
    assert list(made) == list(fields)
    assert made["model"] == "m" and made["new_field"] == {"deep": ["X"]}
    assert made["tools"][0]["function"] == {"name": "F", "parameters": {"TYPE": "OBJECT", "ID": -5}}
    assert made["messages"] == [{"role": "user", "id": "m1", "content": [{"type": "text", "text": "HELLO"}]}]
    assert made["mcp_servers"] == fields["mcp_servers"]


def test_a_document_of_text_is_text() -> None:
    part = {
        "type": "document",
        "source": {"type": "text", "media_type": "text/plain", "data": "abc"},
        "title": "t",
    }
    made = rewritten_fields({"messages": [{"role": "user", "content": [part]}]}, UPPER)
    assert made["messages"][0]["content"][0]["source"]["data"] == "ABC"


def test_only_signed_reasoning_is_left() -> None:
    parts = [{"type": "thinking", "thinking": "a", "signature": "s"}, {"type": "thinking", "thinking": "a"}]
    made = rewritten_fields({"messages": [{"role": "assistant", "content": parts}]}, UPPER)
    assert [part["thinking"] for part in made["messages"][0]["content"]] == ["a", "A"]
