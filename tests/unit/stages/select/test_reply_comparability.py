"""Tasks of whose replies a certificate would say little are refused, with the numbers."""

from __future__ import annotations

import json
from typing import Any

from deputize.core.records import Contract, Field, Message, PromptRecipe, Task
from deputize.stages.select.reply_comparability import not_comparable

WHY = "The answer names the chair and explains why it is late."


def task(contract: Contract) -> Task:
    return Task(id="t1", name="judge", contract=contract, recipe=PromptRecipe(), keys=["k"])


def said(text: str) -> Message:
    return {"role": "assistant", "content": text}


def called(text: str | None) -> Message:
    return {
        "role": "assistant",
        "content": text,
        "tool_calls": [{"function": {"name": "pay", "arguments": "{}"}}],
    }


def judge(**why: Any) -> Contract:
    return Contract(
        kind="json",
        fields=[Field(name="why", type="free", **why), Field(name="code", type="value")],
    )


def test_a_reply_that_is_mostly_uncompared() -> None:
    short = [said(json.dumps({"why": WHY, "code": "x = 1"}))] * 9
    refused = not_comparable(task(judge()), short)
    assert "why (57 characters" in refused and "deputize tasks field t1 why free" in refused
    assert not_comparable(task(judge(by_hand=True)), short) == ""
    long = [said(json.dumps({"why": WHY, "code": "x = 1\n" * 20}))] * 9
    assert not_comparable(task(judge()), long) == ""


def test_fences_that_vary() -> None:
    contract = Contract(kind="json", fields=[Field(name="n", type="value")], fence="```json")
    replies = [said('```json\n{"n": 1}\n```')] * 6 + [said('{"n": 1}')] * 4
    assert "4 of 10 replies" in not_comparable(task(contract), replies)
    assert not_comparable(task(contract), replies[:7]) == ""


def test_texts_next_to_tool_calls_that_vary() -> None:
    contract = Contract(kind="tool_call", tools=["pay"], may_defer=True)
    replies = [called(f"I pay number {i} now.") for i in range(6)] + [called(None)] * 4
    assert "6 of 10 replies that call tools" in not_comparable(task(contract), replies)
    assert not_comparable(task(contract), replies[3:]) == ""
    same = Contract(kind="tool_call", tools=["pay"], content="One moment.")
    assert not_comparable(task(same), [called("One moment.")] * 9) == ""


def test_other_kinds_are_compared_as_a_whole() -> None:
    assert not_comparable(task(Contract(kind="text")), [said(WHY)]) == ""
