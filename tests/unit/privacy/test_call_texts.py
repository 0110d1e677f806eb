"""Texts of calls: all of them are found, and rewritten without changing structure."""

from __future__ import annotations

import json

from deputize.core.records import Call
from deputize.privacy.call_texts import (
    OMITTED,
    call_strings,
    message_strings,
    rewrite_message,
    rewrite_text,
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
    assert list(call_strings(call)) == [("system", "be kind"), ("user", "hi"), ("response", '{"who": "ann"}')]


def test_structure_is_not_rewritten() -> None:
    tool_call = {"id": "t1", "type": "function", "function": {"name": "find", "arguments": {"who": "ann"}}}
    message = {"role": "assistant", "name": "bot", "content": "ann", "tool_calls": [tool_call]}
    assert rewrite_message(message, upper) == {
        "role": "assistant",
        "name": "bot",
        "content": "ANN",
        "tool_calls": [{**tool_call, "function": {"name": "find", "arguments": {"who": "ANN"}}}],
    }
    assert rewrite_message({"role": "user", "name": "ann", "content": "x"}, upper) == {
        "role": "user",
        "content": "X",
    }


def test_escaped_json_and_percent_signs_are_rewritten_where_they_are_decoded() -> None:
    escaped = json.dumps({"who": 'ann "a" lee'})
    assert json.loads(rewrite_text(escaped, upper)) == {"who": 'ANN "A" LEE'}
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
