"""The linear method with copied values: what it copies, what it leaves, and what lies on disk."""

from __future__ import annotations

import json
import random
import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deputize.core.contracts import DEFER
from deputize.core.records import Answer, Contract, Field
from deputize.specialists.learn_schema import learn_schema
from deputize.specialists.linear_model import LinearPredictor
from deputize.specialists.pointer_predictor import (
    ClosedSlots,
    PointerPredictor,
    fit_linear_predictor,
    fit_pointer_predictor,
    steps,
)
from deputize.specialists.tokenized_text import TokenizedText, shape_of

CASE = Contract(
    kind="json",
    fields=[
        Field(name="order", type="value"),
        Field(name="item", type="value"),
        Field(name="email", type="value"),
        Field(name="urgent", type="label", labels=[True, False]),
    ],
)
ITEMS = (
    "Dune desk lamp",
    "Birch rug",
    "Kelp chest of drawers",
    "Ember kettle",
    "Fjord sofa bed",
    "Larch mirror",
)


def case(index: int) -> tuple[str, dict[str, Any]]:
    """A letter and what is in it; the same for the same index."""
    rng = random.Random(index)
    order, other = f"LH-{rng.randrange(10_000, 99_999)}", f"LH-{rng.randrange(10_000, 99_999)}"
    item, urgent = rng.choice(ITEMS), rng.random() < 0.5
    email = f"user{rng.randrange(99)}@example.org" if rng.random() < 0.7 else None
    text = rng.choice(
        (
            f"My order is {order}, not {other} as you write. The {item} is broken.",
            f"The {item} has not arrived. You wrote {other}, but my order is {order}.",
        )
    )
    text = f"{text}\n{'Urgent, please.' if urgent else 'No hurry.'}" + (
        f" Write to {email}." if email else ""
    )
    if rng.random() < 0.2:
        text = text.replace(item, item.lower())
    return text, {"order": order, "item": item, "email": email, "urgent": urgent}


def action(index: int) -> tuple[str, Answer]:
    """A request of an agent that looks an order up, refunds it or leaves it to the LLM."""
    rng = random.Random(f"action {index}")
    order, amount = f"LH-{rng.randrange(10_000, 99_999)}", round(rng.uniform(9, 400), 2)
    text = f"Order: {order}\nresult: {{amount:{amount},note:none}}"
    kind = rng.choice(("look", "refund", "leave", "pass"))
    if kind == "leave":
        return f"{text}\nstate: said goodbye", DEFER
    calls: dict[str, tuple[str, dict[str, Any]]] = {
        "look": ("look_up", {"order": order}),
        "refund": ("refund", {"order": order, "amount": amount}),
        "pass": ("escalate", {"queue": "billing" if amount > 200 else "returns"}),
    }
    name, arguments = calls[kind]
    return f"{text}\nstate: {kind} {arguments.get('queue', '')}", [{"name": name, "arguments": arguments}]


ACTION = Contract(kind="tool_call", tools=["look_up", "refund", "escalate"], may_defer=True)


def trained(contract: Contract, make: Any, n: int = 120) -> PointerPredictor:
    texts, answers = zip(*(make(i) for i in range(n)), strict=True)
    predictor = fit_linear_predictor(learn_schema(contract, answers), texts, answers)
    assert isinstance(predictor, PointerPredictor)
    return predictor


@cache
def small_predictor() -> PointerPredictor:
    return trained(CASE, case, 60)


@pytest.fixture(scope="module")
def case_predictor() -> PointerPredictor:
    return trained(CASE, case)


@pytest.fixture(scope="module")
def action_predictor() -> PointerPredictor:
    return trained(ACTION, action)


def test_it_copies_the_right_one_of_two_values_of_one_shape(case_predictor: PointerPredictor) -> None:
    pairs = [case(i) for i in range(1000, 1100)]
    predictions = case_predictor.predict([text for text, _ in pairs])
    assert sum(r.answer == truth for r, (_, truth) in zip(predictions, pairs, strict=True)) >= 97


def test_a_value_that_is_missing_in_the_text_is_null_as_in_train(case_predictor: PointerPredictor) -> None:
    (prediction,) = case_predictor.predict(
        ["My order is LH-12121, not LH-34343 as you write. The Birch rug is broken.\nNo hurry."]
    )
    assert prediction.answer == {"order": "LH-12121", "item": "Birch rug", "email": None, "urgent": False}


def test_lower_case_is_mended_where_train_mends_it(case_predictor: PointerPredictor) -> None:
    text = "My order is LH-12121, not LH-34343 as you write. The dune desk lamp is broken.\nNo hurry. Write to user5@example.org."
    (prediction,) = case_predictor.predict([text])
    assert isinstance(prediction.answer, dict) and prediction.answer["item"] == "Dune desk lamp"


def test_where_no_value_of_a_known_shape_stands_there_is_no_answer(case_predictor: PointerPredictor) -> None:
    predictions = case_predictor.predict(
        ["My order is 12/12/121, the Birch rug is broken.\nNo hurry.", "", "\n \n", "!?"]
    )
    assert [r.answer for r in predictions] == [None] * 4


def test_it_chooses_a_tool_and_fills_in_what_that_tool_takes(action_predictor: PointerPredictor) -> None:
    pairs = [action(i) for i in range(1000, 1100)]
    predictions = action_predictor.predict([text for text, _ in pairs])
    assert sum(r.answer == truth for r, (_, truth) in zip(predictions, pairs, strict=True)) >= 97
    assert any(r.answer == DEFER for r in predictions)
    amounts = [a[0]["arguments"]["amount"] for _, a in pairs if a != DEFER and a[0]["name"] == "refund"]
    assert amounts and all(isinstance(a, float) for a in amounts)


def test_the_confidence_ranks_errors_last(case_predictor: PointerPredictor) -> None:
    """A text of another kind is read less surely than those trained on."""
    plain = case_predictor.predict([case(i)[0] for i in range(1000, 1040)])
    strange = case_predictor.predict(
        ["LH-11111 LH-22222 LH-33333 LH-44444 Birch rug or Ember kettle; who knows?\nHm."]
    )
    assert strange[0].raw_confidence.log_p < min(r.raw_confidence.log_p for r in plain)


def test_it_reads_the_same_after_storage(
    case_predictor: PointerPredictor, action_predictor: PointerPredictor, tmp_path: Path
) -> None:
    for predictor, make in ((case_predictor, case), (action_predictor, action)):
        predictor.save(tmp_path)
        again = PointerPredictor.load(predictor.schema, tmp_path)
        texts = [make(i)[0] for i in range(500, 540)]
        for a, b in zip(predictor.predict(texts), again.predict(texts), strict=True):
            assert a.answer == b.answer and abs(a.raw_confidence.log_p - b.raw_confidence.log_p) < 0.05


def test_no_value_of_the_traffic_lies_on_disk(case_predictor: PointerPredictor, tmp_path: Path) -> None:
    case_predictor.save(tmp_path)
    data = (tmp_path / "linear.npz").read_bytes() + (tmp_path / "pointers.npz").read_bytes()
    assert not re.search(rb"LH-\d\d|example\.org|lamp", data)


def test_answers_that_are_not_copied_are_not_pointed_at() -> None:
    texts = [f"add {i} and {i + 1}" for i in range(40)]
    contract = Contract(kind="json", fields=[Field(name="sum", type="value")])
    answers = [{"sum": 2 * i + 1} for i in range(40)]
    assert fit_pointer_predictor(learn_schema(contract, answers), texts, answers) is None
    prose = Contract(kind="json", fields=[Field(name="order", type="value"), Field(name="why", type="free")])
    written: list[Answer] = [{"order": f"A-{i}", "why": f"because of {i} things"} for i in range(40)]
    texts = [f"order A-{i}" for i in range(40)]
    assert fit_linear_predictor(learn_schema(prose, written), texts, written) is None, (
        "prose cannot be copied"
    )


def test_a_closed_form_keeps_the_plain_fit_linear_predictor() -> None:
    contract = Contract(kind="label", labels=["yes", "no"])
    answers = ["yes" if i % 2 else "no" for i in range(40)]
    predictor = fit_linear_predictor(
        learn_schema(contract, answers), [f"{a}, please" for a in answers], answers
    )
    assert isinstance(predictor, LinearPredictor)


def test_every_decision_of_an_action_is_a_question_of_its_own() -> None:
    answers = [action(i)[1] for i in range(120)]
    decisions = ClosedSlots(learn_schema(ACTION, answers))
    assert {place.action for place in decisions.places} == {"", "escalate"}
    for answer in answers:
        found = decisions.indices(answer)
        assert found is not None and found[0] >= 0
        assert (found[1] >= 0) == (answer != DEFER and answer[0]["name"] == "escalate")


def test_steps_and_writing_agree_on_places() -> None:
    answers = [case(i)[1] for i in range(40)]
    schema = learn_schema(CASE, answers)
    for answer in answers:
        written = steps(schema, answer)
        assert written is not None and [place.slot for place, _, _ in written] == list(range(4))
    assert steps(schema, {"order": "x"}) is None


def test_shapes_hold_no_letters() -> None:
    assert shape_of("LH-46698") == shape_of("AB-1") == "A-0"
    assert shape_of("Ünal  Çelik") == "Aa Aa"
    assert shape_of("a.b19@example.org") == "a.a0@a.a"


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_read_and_what_is_copied_stands_in_it(text: str) -> None:
    (prediction,) = small_predictor().predict([text])
    if isinstance(prediction.answer, dict):
        for name in ("order", "item", "email"):
            value = prediction.answer[name]
            assert value is None or value.lower() in text.lower()
    json.dumps(prediction.answer)


@given(st.text(max_size=120))
def test_runs_stay_on_one_line_and_inside_the_text(text: str) -> None:
    page = TokenizedText(text)
    for i, j, _ in page.runs(range(1, 7)):
        assert "\n" not in page.between(i, j) and page.between(i, j) in text
