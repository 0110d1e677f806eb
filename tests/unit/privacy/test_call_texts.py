"""Texts of calls: all of them are found, and rewritten without changing structure."""

from __future__ import annotations

import json

from deputize.core.records import Call, Message
from deputize.privacy.call_texts import (
    OMITTED,
    call_strings,
    message_strings,
    rewrite_message,
    rewrite_messages,
    rewrite_schema,
    rewrite_text,
    schema_strings,
    valid_unicode,
)


def upper(text: str) -> str:
    return text.upper()


def test_strings_of_a_call_come_with_their_role() -> None:
    tool_call = {"id": "t1", "function": {"name": "find", "arguments": '{"who": "ann"}'}}
    call = Call(
        id="c",
        messages=[
            {"role": "system", "content": "be kind"},
            {"role": "user", "content": [{"type": "text", "text": "hi"}]},
        ],
        response={"role": "assistant", "content": None, "tool_calls": [tool_call]},
    )
    assert list(call_strings(call)) == [
        ("system", "be kind"),
        ("user", "hi"),
        ("response", "find"),
        ("response", '{"who": "ann"}'),
    ]


def test_names_of_tools_and_keys_are_rewritten_ids_are_numbered_and_roles_stay() -> None:
    tool_call = {
        "id": "t1-ann",
        "type": "function",
        "function": {"name": "find", "arguments": {"who": "ann"}},
    }
    messages: list[Message] = [
        {"role": "assistant", "name": "bot", "content": "ann", "tool_calls": [tool_call]},
        {"role": "tool", "name": "find", "tool_call_id": "t1-ann", "content": "x"},
        {"role": "user", "name": "ann", "content": "x"},
    ]
    function = {"name": "FIND", "arguments": {"WHO": "ANN"}}
    assert rewrite_messages(messages, upper) == [
        {
            "role": "assistant",
            "content": "ANN",
            "tool_calls": [{"id": "call_0", "type": "function", "function": function}],
        },
        {"role": "tool", "name": "FIND", "tool_call_id": "call_0", "content": "X"},
        {"role": "user", "content": "X"},
    ]


def test_schemas_are_texts() -> None:
    tool = {"name": "assign", "parameters": {"properties": {"ann@b.de": {"enum": ["ann@b.de", 3]}}}}
    assert "ann@b.de" in list(schema_strings(tool))
    made = rewrite_schema(tool, lambda text: text.replace("ann@b.de", "eve@x.de"))
    assert made == {"name": "assign", "parameters": {"properties": {"eve@x.de": {"enum": ["eve@x.de", 3]}}}}
    assert rewrite_schema({"to": "x"}, lambda text: "[masked]") == {"to": "[masked]"}


def test_escaped_json_and_percent_signs_are_rewritten_where_they_are_decoded() -> None:
    escaped = json.dumps({"who": 'ann "a" lee'})
    assert json.loads(rewrite_text(escaped, upper)) == {"WHO": 'ANN "A" LEE'}
    assert rewrite_text("q=ann%20lee", lambda t: t.replace("ann lee", "bob ray")) == "q=bob%20ray"


def test_attached_files_are_omitted_and_not_read() -> None:
    message = {
        "role": "user",
        "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}],
    }
    assert list(message_strings(message)) == []
    assert rewrite_message(message, upper)["content"][0]["image_url"] == {"url": OMITTED}


def test_halves_of_surrogate_pairs_are_replaced_character_for_character() -> None:
    assert valid_unicode("a\ud83db") == "a?b" and valid_unicode("é") == "é"
