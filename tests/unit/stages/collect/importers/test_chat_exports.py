"""Exports of chat programs, datasets of instructions."""

from __future__ import annotations

from deputize.core.artifacts import Skip
from deputize.core.records import Call
from deputize.stages.collect.importers.base import ImportContext
from deputize.stages.collect.importers.chat_exports import (
    GlaiveImporter,
    HermesImporter,
    InstructionsImporter,
    LlamaindexImporter,
)

CONTEXT = ImportContext("f", 1)


def test_names_of_people_in_a_store_are_not_kept() -> None:
    messages = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
    found = LlamaindexImporter().parse(
        {"class_name": "SimpleChatStore", "store": {"ann@example.org": messages}}, CONTEXT
    )
    assert isinstance(found, list) and "ann@" not in repr(found)


def test_a_reply_with_a_call_and_text_and_a_row_without_answer() -> None:
    chat = 'USER: x\n\n\nASSISTANT: Let me see. <functioncall> {"name": "f"} <|endoftext|>'
    found = GlaiveImporter().parse({"system": "", "chat": chat}, CONTEXT)
    assert isinstance(found, list) and isinstance(found[0], Call)
    assert (
        found[0].response["content"] == "Let me see."
        and found[0].response["tool_calls"][0]["function"]["name"] == "f"
    )
    assert isinstance(InstructionsImporter().parse({"query": "x", "answers": 3, "tools": []}, CONTEXT), Skip)


def test_a_call_in_a_tag_that_is_nested_without_end_is_a_reply_like_any_other() -> None:
    calls = '<tool_call>{"a":' + "[" * 100_000 + "}</tool_call>"
    rows = [{"from": "human", "value": "x"}, {"from": "gpt", "value": calls}]
    found = HermesImporter().parse({"conversations": rows}, CONTEXT)
    assert isinstance(found, list) and isinstance(found[0], Call) and not found[0].response.get("tool_calls")
