"""Canonical answers: one definition for training, scoring, certificates and the live path."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deputize.core.contracts import (
    DEFER,
    MOST_DISTINCT,
    CommonestAnswer,
    action_of,
    agree,
    agrees_with_itself,
    answer_of,
    closed_labels,
    commonest_answer,
    fold,
    levels_of,
    measures_of,
    message_of,
    needs_judge,
    parse_json_object,
    served_message,
    text_of,
    tool_calls_of,
)
from deputize.core.records import Contract, Field
from deputize.core.text_measures import TextMeasure

LABEL = Contract(kind="label", labels=["yes", "no"])
JSON = Contract(
    kind="json", fields=[Field(name="score", type="label"), Field(name="why", type="free", optional=True)]
)
TOOL = Contract(kind="tool_call", tools=["pay"])
MIXED = Contract(kind="tool_call", tools=["pay"], may_defer=True)
TEXT = Contract(kind="text")


def said(text: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def called(arguments: Any, name: str = "pay") -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c1", "type": "function", "function": function}],
    }


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


FORMS = {
    "python": "def total(xs):\n    s = 0\n    for x in xs:\n        s += x\n    return s",
    "list": "- buy milk\n  - two litres\n- call Tom",
    "makefile": "all: a.o\n\tgcc -o all a.o\n\n.PHONY: all",
    "json in a string": '{"code": "if a:\\n    b()"}',
    "blank at the start": "    indented\n\n\n  twice",
}
"""Texts whose white space means something."""

texts = st.text(alphabet="ab \n\t;=", max_size=8)
plain = st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([1.0, 0.5, "1", "A", "a"]) | texts
contracts = st.sampled_from(
    [
        LABEL,
        Contract(kind="label", labels=["a\n b", "a b c", "A"]),
        TEXT,
        JSON,
        Contract(
            kind="json",
            fence="```json",
            fields=[
                Field(name="topic", type="label", labels=["a  b", "c", 1, True]),
                Field(name="code", type="value", optional=True),
                Field(name="why", type="free"),
            ],
        ),
        TOOL,
        MIXED,
        Contract(kind="tool_call", tools=["pay", "look"], content="One moment.", may_defer=True),
    ]
)


def answers(contract: Contract) -> st.SearchStrategy[Any]:
    """Canonical answers under a contract, with few enough values that two of them are often equal."""
    if contract.kind == "label":
        return st.sampled_from(contract.labels)
    if contract.kind == "text":
        return texts.map(str.rstrip).filter(bool)
    if contract.kind == "tool_call":
        call = st.fixed_dictionaries(
            {
                "name": st.sampled_from(contract.tools),
                "arguments": st.dictionaries(
                    st.sampled_from("xy"), plain | st.lists(plain, max_size=2), max_size=2
                ),
            }
        )
        return st.lists(call, min_size=1, max_size=2)
    given = {f.name: _values_of(f) for f in contract.fields}
    optional = {f.name: given.pop(f.name) for f in contract.fields if f.optional}
    return st.fixed_dictionaries(given, optional=optional)


def _values_of(field: Field) -> st.SearchStrategy[Any]:
    if field.type == "label":
        return st.sampled_from(field.labels or [1, "x"])
    return texts if field.type == "free" else plain


def spoken(answer: Any, contract: Contract) -> Any:
    """What a message of an answer says: its JSON with sorted keys, without ids of tool calls and uncompared fields."""
    message = message_of(answer, contract, ["c1", "c2"])
    if contract.kind == "tool_call":
        functions = [call["function"] for call in message["tool_calls"]]
        return message["content"], [
            (f["name"], json.dumps(json.loads(f["arguments"]), sort_keys=True)) for f in functions
        ]
    if contract.kind == "json":
        first, *_ = message["content"].partition("{")
        value = parse_json_object(message["content"]) or {}
        return first, json.dumps(
            {k: v for k, v in value.items() if k not in contract.uncompared}, sort_keys=True
        )
    return message["content"]


class TestText:
    def test_text_is_the_content_string_or_its_text_parts(self) -> None:
        assert text_of(said("a")) == "a"
        assert (
            text_of(said([{"type": "text", "text": "a"}, {"type": "image_url"}, "odd", {"text": "b"}]))
            == "a\nb"
        )
        assert text_of(said(None)) == text_of({}) == ""

    def test_json_may_stand_in_a_fence_but_nothing_else_may_stand_next_to_it(self) -> None:
        assert parse_json_object('```json\n{"a": 1}\n```') == {"a": 1}
        assert parse_json_object('{"a": 1} so there') is None
        assert parse_json_object("[1]") is None
        assert parse_json_object('{"a":' * 5000) is None

    @given(st.text())
    def test_folding_twice_is_folding_once(self, text: str) -> None:
        assert fold(fold(text)) == fold(text)


class TestAnswers:
    def test_a_label_is_one_of_the_set(self) -> None:
        assert answer_of(said(" yes\n"), LABEL) == "yes"
        assert answer_of(said("maybe"), LABEL) is None
        assert answer_of(called("{}"), LABEL) is None

    def test_json_has_all_required_fields_and_no_unknown_one(self) -> None:
        assert answer_of(said('{"score": true}'), JSON) == {"score": True}
        assert answer_of(said('{"why": "x"}'), JSON) is None
        assert answer_of(said('{"score": 1, "other": 2}'), JSON) is None

    def test_tool_calls_are_names_with_parsed_arguments(self) -> None:
        assert answer_of(called('{"amount": 3}'), TOOL) == [{"name": "pay", "arguments": {"amount": 3}}]
        assert answer_of(called(None), TOOL) == [{"name": "pay", "arguments": {}}]
        assert answer_of(called("not json"), TOOL) is None
        assert answer_of(called("[1]"), TOOL) is None
        assert tool_calls_of({"tool_calls": [{"function": "odd"}]}) is None

    def test_speaking_where_tools_are_called_is_left_to_the_llm(self) -> None:
        assert answer_of(said("Shall I?"), TOOL) is None
        assert answer_of(said("Shall I?"), MIXED) == DEFER
        assert answer_of(called("not json"), MIXED) is None

    @pytest.mark.parametrize("kind", ["label", "json"])
    def test_at_a_mixed_site_a_reply_in_no_known_form_is_left_to_the_llm(self, kind: Any) -> None:
        contract = Contract(kind=kind, labels=["yes"], fields=JSON.fields, may_defer=True)
        assert answer_of(said("I am sorry to hear that."), contract) == DEFER

    def test_empty_text_is_no_answer(self) -> None:
        assert answer_of(said("  "), TEXT) is None

    @pytest.mark.parametrize("text", FORMS.values(), ids=FORMS)
    def test_text_keeps_its_line_breaks_and_indentation(self, text: str) -> None:
        answer = answer_of(said(f"{text}\n"), TEXT)
        assert answer == text == message_of(answer, TEXT, [])["content"]

    def test_a_label_is_served_as_the_llm_writes_it(self) -> None:
        contract = Contract(kind="label", labels=["Topic: parcel\nUrgent: no", "none"])
        answer = answer_of(said("Topic: parcel \n Urgent:  no\n"), contract)
        assert message_of(answer, contract, [])["content"] == "Topic: parcel\nUrgent: no"
        inside = Contract(kind="json", fields=[Field(name="topic", type="label", labels=["late parcel"])])
        assert answer_of(said('{"topic": "late  parcel "}'), inside) == {"topic": "late parcel"}

    def test_a_fence_is_served_or_the_reply_is_no_answer(self) -> None:
        fenced = Contract(kind="json", fields=JSON.fields, fence="```json")
        reply = said('```json\n{"score": true}\n```')
        assert answer_of(reply, JSON) is None
        assert message_of(answer_of(reply, fenced), fenced, []) == reply
        assert answer_of(said('{"score": true}'), fenced) is None
        assert answer_of(said('```\n{"score": true}\n```'), fenced) is None

    def test_text_next_to_a_tool_call_is_served_or_the_reply_is_no_answer(self) -> None:
        reply = {**called('{"amount": 3}'), "content": "One moment, please."}
        assert answer_of(reply, TOOL) is None and answer_of(reply, MIXED) == DEFER
        says = Contract(kind="tool_call", tools=["pay"], content="One moment, please.")
        assert message_of(answer_of(reply, says), says, ["c1"])["content"] == "One moment, please."
        assert answer_of(called('{"amount": 3}'), says) is None

    def test_numbers_that_json_does_not_have_are_no_answer(self) -> None:
        assert answer_of(said('{"score": NaN}'), JSON) is None
        assert answer_of(called('{"amount": Infinity}'), TOOL) is None
        with pytest.raises(ValueError, match="JSON"):
            message_of({"score": float("nan")}, JSON, [])

    def test_prose_that_is_no_text_breaks_the_contract(self) -> None:
        assert answer_of(said('{"score": 1, "why": ["because"]}'), JSON) is None

    def test_the_action_of_a_tool_answer_is_its_names(self) -> None:
        assert action_of([{"name": "a", "arguments": {}}, {"name": "b", "arguments": {}}]) == "a+b"
        assert action_of(DEFER) == DEFER


class TestAgreement:
    def test_nothing_agrees_with_none(self) -> None:
        assert not agree(None, None, TEXT)

    def test_prose_fields_are_not_compared(self) -> None:
        assert agree({"score": True, "why": "a"}, {"score": True}, JSON)
        assert not agree({"score": True}, {"score": 1}, JSON)

    @pytest.mark.parametrize(
        ("one", "two"),
        [
            ("a  b", "a b"),
            ("A", "a"),
            ("if a:\n    b()\n    c()", "if a:\n    b()\nc()"),
            ("all:\n\tgcc a.c", "all:\n gcc a.c"),
            ("a ", "a"),
            (1, 1.0),
            (1, True),
            (0, None),
        ],
    )
    def test_white_space_case_and_the_kind_of_a_number_count(self, one: Any, two: Any) -> None:
        first, second = ([{"name": "pay", "arguments": {"what": [value]}}] for value in (one, two))
        assert not agree(first, second, TOOL)
        fields = Contract(kind="json", fields=[Field(name="what", type="value")])
        assert not agree({"what": one}, {"what": two}, fields)

    def test_the_order_of_keys_does_not_count(self) -> None:
        one = [{"name": "pay", "arguments": {"amount": 1, "note": "a"}}]
        two = [{"name": "pay", "arguments": {"note": "a", "amount": 1}}]
        assert agree(one, two, TOOL)
        assert agree({"why": "x", "score": 1}, {"score": 1, "why": "y"}, JSON)

    def test_big_whole_numbers_are_not_rounded_together(self) -> None:
        assert not agree({"score": 2**60}, {"score": 2**60 + 1}, JSON)

    @given(st.dictionaries(st.text(max_size=5), values, max_size=4))
    def test_every_answer_agrees_with_itself_and_through_json(self, value: dict[str, Any]) -> None:
        assert agree(value, value, JSON)
        assert agree(value, json.loads(json.dumps(value)), JSON)

    @given(st.data())
    def test_answers_that_agree_are_the_same_message(self, data: st.DataObject) -> None:
        contract = data.draw(contracts)
        a, b = data.draw(answers(contract)), data.draw(answers(contract))
        assert agree(a, a, contract)
        assert agree(a, b, contract) == agree(b, a, contract)
        same = spoken(a, contract) == spoken(b, contract)
        assert agree(a, b, contract) == same

    @given(st.data())
    def test_every_answer_comes_back_from_its_message(self, data: st.DataObject) -> None:
        contract = data.draw(contracts)
        answer = data.draw(answers(contract))
        back = answer_of(message_of(answer, contract, ["c1", "c2"]), contract)
        assert back == answer and agree(back, answer, contract)
        assert spoken(back, contract) == spoken(answer, contract)

    def test_absurd_depth_disagrees_instead_of_failing(self) -> None:
        deep: Any = 1
        for _ in range(100_000):
            deep = [deep]
        assert not agree({"score": deep}, {"score": 1}, JSON)


class TestMessages:
    @given(st.dictionaries(st.text(max_size=5), values, max_size=3))
    def test_a_tool_answer_comes_back_from_its_message(self, arguments: dict[str, Any]) -> None:
        answer = [{"name": "pay", "arguments": arguments}]
        assert agree(answer_of(message_of(answer, TOOL, ["c1"]), TOOL), answer, TOOL)

    def test_labels_and_json_come_back_too(self) -> None:
        assert answer_of(message_of("yes", LABEL, []), LABEL) == "yes"
        assert answer_of(message_of({"score": "é"}, JSON, []), JSON) == {"score": "é"}

    def test_leaving_has_no_message(self) -> None:
        with pytest.raises(ValueError, match="LLM"):
            message_of(DEFER, MIXED, [])


def test_two_broken_answers_are_no_disagreement() -> None:
    assert agrees_with_itself(None, None, LABEL) and not agrees_with_itself(None, "yes", LABEL)
    assert agrees_with_itself("yes", "yes", LABEL) and not agrees_with_itself("yes", "no", LABEL)
    assert not agree(None, None, LABEL), "of a specialist it is an error"


class TestClosedLabels:
    def test_a_closed_set_is_found_most_frequent_first(self) -> None:
        assert closed_labels(["b"] * 12 + ["a"] * 30) == ["a", "b"]

    def test_one_off_replies_are_not_labels(self) -> None:
        assert closed_labels([f"text {i}" for i in range(100)]) is None
        assert closed_labels(["a"] * 97 + ["x", "y", "z"]) == ["a"]

    def test_few_replies_say_nothing(self) -> None:
        assert closed_labels(["a"] * 19) is None

    def test_long_replies_are_not_labels_however_often_they_come(self) -> None:
        assert closed_labels(["one two three four five six seven eight nine"] * 100) is None


@pytest.mark.parametrize(
    "more",
    [
        {"refusal": "I cannot help with that."},
        {"function_call": {"name": "find", "arguments": "{}"}},
        {"audio": {"id": "a1"}},
        {"annotations": [{"type": "url_citation"}]},
        {"content": [{"type": "text", "text": "refund"}, {"type": "text", "text": "cancel"}]},
        {"content": [{"type": "text", "text": "refund"}, {"type": "image_url", "image_url": {"url": "x"}}]},
    ],
)
def test_a_reply_with_more_than_text_and_tool_calls_is_no_answer(more: dict[str, object]) -> None:
    reply = {"role": "assistant", "content": "refund", **more}
    for contract in (Contract(kind="label", labels=["refund"]), Contract(kind="text")):
        assert answer_of(reply, contract) is None
        assert answer_of({"role": "assistant", "content": "refund"}, contract) == "refund"
    call = {"id": "1", "type": "function", "function": {"name": "find", "arguments": "{}"}}
    acting = Contract(kind="tool_call", tools=["find"], may_defer=True)
    assert answer_of({"content": None, "tool_calls": [call], "refusal": "no"}, acting) == DEFER


def test_empty_parts_and_one_part_of_text_change_nothing() -> None:
    reply = {"content": [{"type": "text", "text": "refund"}], "refusal": None, "annotations": []}
    assert answer_of(reply, Contract(kind="label", labels=["refund"])) == "refund"


def test_of_very_many_distinct_answers_the_rare_ones_are_forgotten_and_the_common_one_is_found() -> None:
    found = CommonestAnswer(TEXT)
    for n in range(4 * MOST_DISTINCT):
        found.add("always" if n % 10 == 0 else f"only {n}")
    assert found.answer == "always"


def test_the_commonest_answer_is_counted_by_what_the_contract_compares() -> None:
    assert commonest_answer(["no", "yes", "yes"], LABEL) == "yes" and commonest_answer([], LABEL) is None
    found = commonest_answer(
        [{"score": 1, "why": "a"}, {"score": 2, "why": "a"}, {"score": 2, "why": "b"}], JSON
    )
    assert found == {"score": 2, "why": "a"}


WORDS = TextMeasure(name="words", level=0.7)


def test_texts_with_a_measure_agree_when_they_are_close() -> None:
    close, far = "please send the parcel today", "please send the parcel"
    measured = Contract(kind="text", measure=WORDS, may_defer=True)
    assert not agree(close, far, TEXT) and agree(close, far, measured) and agree(far, close, measured)
    assert not agree(close, "close my account", measured)
    assert (
        not agree(DEFER, "defer", measured)
        and agree(DEFER, DEFER, measured)
        and not agree(None, far, measured)
    )
    assert measures_of(measured) == ["Two replies are the same here from an F1 of words of 0.7 on."]
    assert measures_of(TEXT) == [] == levels_of(TEXT)
    assert levels_of(measured) == ["words>=0.7"]


def test_a_json_field_with_a_measure() -> None:
    fields = [Field(name="id", type="value"), Field(name="why", type="value", optional=True, measure=WORDS)]
    contract = Contract(kind="json", fields=fields)
    a = {"id": "7", "why": "the parcel is late"}
    assert agree(a, {"id": "7", "why": "the parcel is very late"}, contract)
    assert not agree(a, {"id": "8", "why": "the parcel is late"}, contract), "other fields count as before"
    assert not agree(a, {"id": "7", "why": "lost"}, contract)
    assert not agree(a, {"id": "7"}, contract) and not agree({"id": "7"}, a, contract)
    assert not agree(a, {"id": "7", "why": 5}, contract)
    assert measures_of(contract) == ["Two values of why are the same here from an F1 of words of 0.7 on."]
    assert levels_of(contract) == ["why: words>=0.7"]


def test_what_is_served_is_the_answer_and_not_only_close_to_it() -> None:
    measured = Contract(kind="text", measure=TextMeasure(name="words", level=0.1))
    assert served_message("send it today ", measured, iter(())) is None, "the space would be lost"
    message = served_message("send it today", measured, iter(()))
    assert message is not None and message["content"] == "send it today"


def test_texts_that_a_judge_compares_say_so() -> None:
    judged = Contract(kind="text", measure=TextMeasure(name="judge", level=1.0))
    assert needs_judge(judged) and levels_of(judged) == ["judge"]
    assert measures_of(judged) == [
        "Two replies count as the same here where a judge finds neither worse, asked in both orders."
    ]
    close = Contract(kind="text", measure=TextMeasure(name="words", level=0.8))
    assert not needs_judge(close) and not needs_judge(Contract(kind="text"))
