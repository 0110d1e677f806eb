"""Forms of values: read off the requests, kept only where the LLM's own answers keep to them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deputize.core.records import Contract, Field, Request
from deputize.core.subjects import Subjects
from deputize.specialists import value_forms
from deputize.specialists.answer_schema import AnswerSchema, Slot
from deputize.specialists.learn_schema import learn_schema
from deputize.specialists.value_forms import forms_of, grammar_of_slot, keeps, with_forms

pytest.importorskip("llguidance", reason="llguidance is not installed (pip install 'deputize[train]')")


def tool(name: str, **fields: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": fields}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


def request(*tools: dict[str, Any], reply: dict[str, Any] | None = None) -> Request:
    asked = {"type": "json_schema", "json_schema": {"name": "r", "schema": reply}} if reply else None
    return Request(messages=[], tools=list(tools) or None, response_format=asked)


def test_forms_are_those_that_all_requests_and_enough_people_have() -> None:
    number, word = {"type": "integer"}, {"type": "string"}
    first, other = (
        request(tool("refund", amount=number, note=word)),
        request(tool("refund", amount=number, note=number)),
    )
    alike = forms_of([first, first], Subjects(["a", "b"], 2))
    assert {k: json.loads(v) for k, v in alike.items()} == {
        ("refund", "amount"): number,
        ("refund", "note"): word,
    }
    assert set(forms_of([first, other], Subjects(["a", "b"], 2))) == {("refund", "amount")}, (
        "one has another note"
    )
    assert set(forms_of([first, other], Subjects(["a", "b"], 1))) == {("refund", "amount")}
    assert forms_of([first, first], Subjects(["a", "a"], 2)) == {}, "one person's alone"
    assert forms_of([Request(messages=[])], Subjects(["a"], 1)) == {}
    odd = Request(messages=[], tools=[{"function": {"name": 3}}, {}], response_format={"type": "json_schema"})
    assert forms_of([odd], Subjects(["a"], 1)) == {}


def test_a_reply_schema_brings_its_fields_and_what_they_refer_to() -> None:
    reply = {
        "properties": {"n": {"$ref": "#/$defs/small"}},
        "$defs": {"small": {"type": "integer", "maximum": 9}},
    }
    found = forms_of([request(reply=reply)], Subjects(["a"], 1))
    slot = Slot(name="n", role="value", plain=False, form=found["", "n"])
    assert keeps(slot, ["7"]) and not keeps(slot, ["12"])


@pytest.mark.parametrize(
    ("slot", "right", "wrong"),
    [
        (Slot(name="x", role="value", plain=False, form='{"type": "integer", "minimum": 3}'), "4", "2"),
        (Slot(name="x", role="value", plain=False, form='{"type": "integer"}', optional=True), "~", "~~"),
        (Slot(name="x", role="value", plain=False, form='{"type": "integer"}'), "4", "~"),
        (
            Slot(
                name="x", role="value", plain=False, form='{"type": "array", "items": {"enum": ["a", "b"]}}'
            ),
            '["a", "b"]',
            '["c"]',
        ),
        (
            Slot(name="x", role="value", form='{"type": "string", "pattern": "^LH-\\\\d{5}$"}'),
            "LH-12345",
            "LH-1",
        ),
        (Slot(name="x", role="value", form='{"type": "string", "pattern": "a/b"}'), "1 a/b 2", "1 ab 2"),
        (Slot(name="x", role="value", form='{"enum": ["in work", "a.b"]}'), "a.b", "axb"),
        (Slot(name="x", role="value", form='{"const": "sold"}'), "sold", "solder"),
        (Slot(name="x", role="value", form='{"type": "string", "maxLength": 3}'), "abc", "abcd"),
        # a text that cannot stand as it is, and none
        (Slot(name="x", role="value", form='{"type": ["string", "null"], "maxLength": 3}'), "~null", "~nul"),
    ],
)
def test_the_grammar_of_a_slot(slot: Slot, right: str, wrong: str) -> None:
    assert keeps(slot, [right]) and not keeps(slot, [right, wrong])


def test_where_any_text_will_do_or_no_grammar_can_say_it_there_is_none() -> None:
    assert grammar_of_slot(Slot(name="x", role="value")) == ""
    assert grammar_of_slot(Slot(name="x", role="value", form='{"type": "string"}')) == ""
    assert not keeps(Slot(name="x", role="value", plain=False, form='{"not": {"type": "integer"}}'), ["1.5"])


def test_a_form_that_the_llm_did_not_keep_to_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    contract = Contract(kind="json", fields=[Field(name="n", type="value"), Field(name="m", type="value")])
    answers = [{"n": i, "m": i} for i in range(20)]
    forms = {("", "n"): '{"type": "integer", "maximum": 50}', ("", "m"): '{"type": "integer", "maximum": 5}'}
    found = with_forms(learn_schema(contract, answers), forms, answers)
    assert {s.name: s.form for s in found.slots} == {"n": forms["", "n"], "m": ""}
    assert with_forms(AnswerSchema(kind="json"), forms, answers) == AnswerSchema(kind="json")
    monkeypatch.setattr(value_forms, "find_spec", lambda name: None)
    assert {s.form for s in with_forms(learn_schema(contract, answers), forms, answers).slots} == {""}
