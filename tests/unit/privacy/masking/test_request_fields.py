"""The texts of a request's body: what is rewritten, what is left, what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from deputize.core.errors import BadInput
from deputize.privacy.masking.request_fields import Changes, check_maskable, rewritten_fields

UPPER = Changes(
    lambda text, name, as_json: text.upper(),
    lambda text: text.title(),
    lambda number, name: -number,
    lambda text: f"{text}!",
    False,
)


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
    assert made["tools"][0]["function"] == {"name": "F", "parameters": {"Type": "OBJECT", "Id": -5}}
    assert made["messages"] == [{"role": "user", "id": "m1!", "content": [{"type": "text", "text": "HELLO"}]}]
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


def test_what_stands_where_only_the_provider_reads_is_text_where_it_is_not_encoded() -> None:
    said = [{"encrypted_content": "I am Anna", "signature": "a b"}, {"encrypted_content": "gAAAB+/=_-.x"}]
    made = rewritten_fields({"input": said}, UPPER)["input"]
    assert made == [{"encrypted_content": "I Am Anna", "signature": "A B"}, said[1]]


def test_a_summary_of_encrypted_reasoning_is_text() -> None:
    item = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "a"}], "encrypted_content": "x"}
    made = rewritten_fields({"input": [item]}, UPPER)["input"][0]
    assert made == {**item, "summary": [{"type": "summary_text", "text": "A"}]}


def test_only_a_word_is_a_word_of_the_protocol() -> None:
    fields = {
        "messages": [
            {"role": "tool", "tool_call_id": "call_1-a", "content": "x"},
            {"role": "tool", "tool_call_id": "call of a@b.example", "id": "4111111111111111"},
        ],
        "labels": {"a@b.example": 41, "card": 4111111111111111},
        "seed": 4111111111111111,
    }
    made = rewritten_fields(fields, UPPER)
    assert made["messages"][0] == {"role": "tool", "tool_call_id": "call_1-a!", "content": "X"}
    assert made["messages"][1]["tool_call_id"] == "Call Of A@B.Example"
    assert made["labels"] == {"A@B.Example": 41, "card": -4111111111111111}
    assert made["seed"] == fields["seed"]


def test_of_an_mcp_server_only_what_it_is_found_by_is_left() -> None:
    tool = {"type": "mcp", "server_url": "https://x/?k=v", "authorization": "s", "server_description": "a b"}
    made = rewritten_fields({"tools": [tool], "mcp_servers": [{"url": "u", "notes": "a"}]}, UPPER)
    assert made["tools"] == [{**tool, "server_description": "A B"}]
    assert made["mcp_servers"] == [{"url": "u", "notes": "A"}]
