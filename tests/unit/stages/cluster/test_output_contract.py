"""Contracts are inferred from what may be trained on, and from nothing else."""

from __future__ import annotations

import json
import random
from typing import Any

import msgspec
import pytest

from deputize.core.contracts import DEFER, agree, answer_of
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


def test_what_is_said_to_people_next_to_labels_is_left() -> None:
    people = [
        example(f"Dear customer number {i}, we are sorry to hear.", audience="human") for i in range(30)
    ]
    contract = infer_contract([example("yes")] * 30 + [example("no")] * 20 + people)
    assert (contract.kind, contract.may_defer) == ("label", True)


def test_anything_else_is_text() -> None:
    assert infer_contract([example(f"Answer number {i}") for i in range(50)]).kind == "text"
    assert infer_contract([example("")]).kind == "text"


def logged(i: int, value: object, user: str = "", **more: Any) -> Example:
    split = "validation" if i % 5 == 0 else "train"
    reply = value if isinstance(value, str) else json.dumps(value)
    return example(
        reply, user or f"Question {i}", call_id=f"c{i}", episode=f"e{i}", group=f"e{i}", split=split, **more
    )


def types(rows: list[Example]) -> dict[str, str]:
    return {f.name: f.type for f in infer_contract(rows).fields}


def test_what_code_reads_is_compared_however_long_it_is() -> None:
    r = random.Random(1)
    because = "because the customer asked for it in writing, and there is no reason why we should not"
    rows = [
        logged(
            i,
            {
                "query": f"SELECT name, total FROM orders WHERE customer_id = {i} AND total > {r.randint(1, 99)} ORDER BY total",
                "url": f"https://api.example.com/v2/customers/{r.randint(1, 10**6)}/orders?from=2026-01-{r.randint(10, 28)}",
                "plan": [
                    {"tool": "refund", "args": {"id": r.randint(1, 10**6), "reason": because}} for _ in "abc"
                ],
                "why": f"The customer has asked for number {r.randint(1, 10**6)} and it is not in the shop any more.",
            },
        )
        for i in range(80)
    ]
    assert types(rows) == {"query": "value", "url": "value", "plan": "value", "why": "free"}


def test_prose_that_a_later_call_of_another_task_is_asked_about_is_compared() -> None:
    said = [
        f"The customer is asking for the {i} chairs that were not in the parcel of last week."
        for i in range(60)
    ]
    rows = [logged(i, {"summary": text, "n": i}) for i, text in enumerate(said)]
    later = [logged(i, "ok", f"Translate this: {text}") for i, text in enumerate(said)]
    assert types(rows)["summary"] == "free"
    used = infer_contract(rows, log=[*rows, *later])
    assert used.fields[0].type == "value" and used.uncompared == []


def test_prose_that_some_replies_leave_out_is_compared() -> None:
    text = "The customer is asking for the {} chairs that were not in the parcel of last week."
    rows = [logged(i, {"n": i} | ({"why": text.format(i)} if i % 10 else {})) for i in range(80)]
    assert types(rows)["why"] == "value"


PRODUCTS = [
    f"{a} {b}"
    for a in ("Alba", "Luna", "Nova")
    for b in ("lamp", "chair", "shelf", "table", "bed", "sofa", "desk")
]


@pytest.mark.parametrize("n", [60, 300, 1200])
def test_a_product_name_stays_copied_however_long_the_log_is(n: int) -> None:
    rows = []
    for i in range(n):
        product, late = PRODUCTS[i * 7 % 21], i % 3 == 0
        user = f"Answer with a product and a topic (parcel or refund). {'Where is' if late else 'I send back'} my {product}, {i}"
        rows.append(logged(i, {"product": product, "topic": "parcel" if late else "refund"}, user))
    assert types(rows) == {"product": "value", "topic": "label"}


def test_a_reply_that_is_copied_is_text_and_not_one_of_many_labels() -> None:
    rows = [
        logged(i, PRODUCTS[i % 21], f"What is bought here: one {PRODUCTS[i % 21]} for {i}?")
        for i in range(300)
    ]
    assert infer_contract(rows).kind == "text"
    menu = ", ".join(PRODUCTS)
    rows = [logged(i, PRODUCTS[i % 21], f"Which fits number {i} best: {menu}?") for i in range(300)]
    assert infer_contract(rows) == Contract(kind="label", labels=sorted(PRODUCTS[:6]) + sorted(PRODUCTS[6:]))


def test_a_closed_set_may_be_large_where_validation_shows_that_it_is_closed() -> None:
    assert types([logged(i, {"intent": f"topic {i % 139}"}) for i in range(1500)]) == {"intent": "label"}
    grows = [logged(i, {"case": f"case {i // 24 * 4 + i % 4}"}) for i in range(240)]
    late = [
        msgspec.structs.replace(e, split="train" if i < 180 else "validation") for i, e in enumerate(grows)
    ]
    assert types(late) == {"case": "value"}


def test_labels_that_differ_in_white_space_alone_are_one() -> None:
    rows = [logged(i, {"topic": ("late parcel", "late  parcel ", "refund")[i % 3]}) for i in range(90)]
    assert sorted(infer_contract(rows).fields[0].labels) in (
        ["late  parcel ", "refund"],
        ["late parcel", "refund"],
    )
    lines = ["Topic: parcel\nUrgent: no"] * 30 + ["Topic:  parcel Urgent: no"] * 5 + ["none"] * 20
    assert infer_contract([logged(i, text) for i, text in enumerate(lines)]).labels == [lines[0], "none"]


def test_a_fence_around_the_replies_is_part_of_the_contract() -> None:
    fenced = [logged(i, f'```json\n{{"n": {i}}}\n```') for i in range(57)]
    assert infer_contract(fenced).fence == "```json"
    contract = infer_contract([*fenced, *(logged(i, {"n": i}) for i in range(3))])
    assert contract.fence == "```json"
    assert answer_of(logged(0, {"n": 1}).response, contract) is None


def test_text_next_to_tool_calls_is_part_of_the_contract_where_it_is_constant() -> None:
    def says(i: int, text: str) -> Example:
        return logged(i, "", **{}) if not text else example({**call("pay"), "content": text}, call_id=f"c{i}")

    same = infer_contract([says(i, "One moment, please.") for i in range(50)])
    assert same == Contract(kind="tool_call", tools=["pay"], content="One moment, please.")
    some = [example(call("pay"))] * 45 + [says(i, f"I will now pay number {i}.") for i in range(5)]
    contract = infer_contract(some)
    assert contract == Contract(kind="tool_call", tools=["pay"], may_defer=True)
    assert [answer_of(e.response, contract) == DEFER for e in some] == [False] * 45 + [True] * 5


def test_a_rare_label_is_an_error_of_calibration_not_a_call_left_out() -> None:
    rows = [example("yes", origin=f"o{i % 9}") for i in range(30)] + [
        example("no", origin=f"o{i % 9}") for i in range(20)
    ]
    mine = [example("ask Ms Weber", origin="o1") for _ in range(2)]
    contract = infer_contract([*rows, *mine], min_origins=3)
    assert contract.labels == ["yes", "no"]
    assert not agree("yes", answer_of(mine[0].response, contract), contract)
