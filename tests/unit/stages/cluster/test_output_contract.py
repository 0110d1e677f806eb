"""Contracts are inferred from what may be learnt from, and from nothing else."""

from __future__ import annotations

import json
from typing import Any

from deputize.core.records import Contract, Example, Message, Request
from deputize.stages.cluster.output_contract import infer_contract


def example(reply: str | Message, user: str = "q", **more: Any) -> Example:
    response: Message = {"role": "assistant", "content": reply} if isinstance(reply, str) else reply
    fields = {
        "call_id": "c",
        "audience": "code",
        "site": "s",
        "episode": "e",
        "group": "g",
        "split": "train",
        **more,
    }
    return Example(request=Request(messages=[{"role": "user", "content": user}]), response=response, **fields)


def call(name: str) -> Message:
    return {"role": "assistant", "tool_calls": [{"function": {"name": name, "arguments": "{}"}}]}


def test_labels() -> None:
    contract = infer_contract([example("yes")] * 30 + [example("no")] * 20 + [example("hm")])
    assert contract == Contract(kind="label", labels=["yes", "no"])


def test_answers_of_calibration_and_test_are_not_looked_at() -> None:
    hidden = [example("secret", split="calibration"), example("other", split="test")] * 50
    assert infer_contract([example("yes")] * 30 + [example("no")] * 20 + hidden).labels == ["yes", "no"]


def test_json_fields_in_the_teachers_order_with_their_types() -> None:
    prose = "A long explanation of why exactly this was the one right answer to give, number {}."
    rows = [
        example(
            json.dumps(
                {"why": prose.format(i), "ok": i % 3 == 0, "order": f"AB-{i:05d}"}
                | ({"note": None} if i % 2 else {})
            ),
            user=f"Order AB-{i:05d} please",
        )
        for i in range(60)
    ]
    contract = infer_contract(rows)
    assert contract.kind == "json"
    assert [(f.name, f.type, f.optional) for f in contract.fields] == [
        ("why", "free", False),
        ("ok", "label", False),
        ("order", "value", False),
        ("note", "label", True),
    ]
    assert contract.fields[1].labels == [False, True]


def test_calling_tools_and_speaking_is_a_mixed_site() -> None:
    mixed = (
        [example(call("pay"))] * 20
        + [example(call("look"))] * 30
        + [example("Which order?", audience="human")] * 50
    )
    assert infer_contract(mixed) == Contract(kind="tool_call", tools=["look", "pay"], may_defer=True)
    assert not infer_contract(mixed[:50]).may_defer


def test_what_is_said_to_people_beside_labels_is_left() -> None:
    people = [
        example(f"Dear customer number {i}, we are sorry to hear.", audience="human") for i in range(30)
    ]
    contract = infer_contract([example("yes")] * 30 + [example("no")] * 20 + people)
    assert (contract.kind, contract.may_defer) == ("label", True)


def test_anything_else_is_text() -> None:
    assert infer_contract([example(f"Answer number {i}") for i in range(50)]).kind == "text"
    assert infer_contract([example("")]).kind == "text"
