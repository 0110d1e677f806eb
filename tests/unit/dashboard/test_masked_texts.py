"""Answers of live calls with placeholders in place of personal values, by the real detectors."""

from __future__ import annotations

import time

import pytest
from msgspec import structs
from tests.unit.dashboard.conftest import HOSTILE, Desk, audit_of, served

from deputize.dashboard.masked_texts import MaskedPair, MaskedTexts, text_of_message


@pytest.mark.slow  # loads every detector
def test_both_answers_have_the_same_placeholders(desk: Desk) -> None:
    pytest.importorskip("presidio_analyzer")
    texts = MaskedTexts(desk.home)
    reply = "reply_to: anna.miller@example.com"
    one, other = served("a", 1.0, reply=reply), audit_of("a", 2.0, agrees=False, reply=f"{reply} today")
    deadline = time.monotonic() + 60
    while (pair := texts.pair(one, other)) is None and time.monotonic() < deadline:
        pass
    texts.close()
    assert isinstance(pair, MaskedPair), pair
    assert "example.com" not in "".join(pair) and HOSTILE in pair.asked
    placeholder = pair.specialist.removeprefix("reply_to: ")
    assert placeholder in pair.asked and pair.llm == f"reply_to: {placeholder} today"


@pytest.mark.slow
def test_values_in_the_arguments_of_a_tool_call_are_masked_too(desk: Desk) -> None:
    pytest.importorskip("presidio_analyzer")
    texts = MaskedTexts(desk.home)
    arguments = '{"to": "anna.miller@example.com", "queue": "refunds"}'
    calls = [{"id": "1", "type": "function", "function": {"name": "send", "arguments": arguments}}]
    one = structs.replace(
        served("a", 1.0), response={"role": "assistant", "content": None, "tool_calls": calls}
    )
    pair = None
    while pair is None:
        pair = texts.pair(one, audit_of("a", 2.0, agrees=False, reply="x"))
    texts.close()
    assert isinstance(pair, MaskedPair), pair
    assert (
        "example.com" not in pair.specialist
        and "refunds" in pair.specialist
        and "masked.invalid" in pair.specialist
    )


def test_a_picture_cannot_be_looked_at_and_the_page_says_so(desk: Desk) -> None:
    texts = MaskedTexts(desk.home)
    picture = {
        "role": "user",
        "content": [{"type": "image_url", "image_url": {"url": "https://a.example/x.png"}}],
    }
    one = structs.replace(served("a", 1.0), messages=[picture])
    said = None
    while said is None:
        said = texts.pair(one, audit_of("a", 2.0, agrees=False, reply="x"))
    texts.close()
    assert isinstance(said, str) and "cannot be shown" in said


def test_a_message_as_a_person_reads_it() -> None:
    calls = [
        {"function": {"name": "look_up", "arguments": '{"id":1}'}},
        {"function": {"name": "x", "arguments": "{"}},
    ]
    assert (
        text_of_message({"content": "hello", "tool_calls": calls}) == 'hello\nlook_up({\n "id": 1\n})\nx({)'
    )
    deep = "[" * 100_000
    assert text_of_message({"tool_calls": [{"function": {"name": "x", "arguments": deep}}]}) == f"x({deep})"
    parts = [{"type": "text", "text": "a"}, {"type": "image_url"}]
    assert text_of_message({"content": parts}) == "a\n[image_url]" and text_of_message({}) == ""
