"""Answers taken apart and put together again."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests import tiny_tasks

from deputize.core.contracts import DEFER, answer_of, message_of
from deputize.core.records import Contract, Field, Message
from deputize.core.subjects import Subjects
from deputize.specialists.answer_schema import ACTION, REPLY, AnswerBuilder, AnswerSchema, Slot
from deputize.specialists.closed_answers import closed
from deputize.specialists.learn_schema import learn_schema

values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**6), 10**6) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


def rewrite(schema: AnswerSchema, answer: Any) -> Any:
    """An answer written slot by slot from its own segments."""
    segments = schema.segments(answer)
    assert segments is not None
    builder = AnswerBuilder(schema)
    for slot, text in segments:
        assert builder.slot() == slot
        assert "\n" not in text
        builder.put(text)
    return builder.answer()


@given(values, st.booleans())
def test_every_value_survives_its_slot(value: Any, plain: bool) -> None:
    slot = Slot(name="x", role="value", plain=plain)
    text = slot.write(value)
    assert "\n" not in text and text == text.strip() and text
    assert slot.read(text) == (True, value)


def test_plain_text_is_written_as_it_stands() -> None:
    slot = Slot(name="x", role="value")
    assert slot.write("LH-12345") == "LH-12345"
    assert slot.write(None) == "~null"
    assert slot.write("two\nlines") == '~"two\\nlines"'
    assert slot.write("~") == '~"~"'


def test_an_absent_value_is_refused_where_it_is_required() -> None:
    assert Slot(name="x", role="value", optional=True).read("~") == (False, None)
    with pytest.raises(ValueError, match="absent"):
        Slot(name="x", role="value").read("~")


@given(
    st.lists(
        st.fixed_dictionaries({"a": values, "b": st.text(max_size=8)}, optional={"c": values}), min_size=1
    )
)
def test_json_answers_survive_their_form(answers: list[dict[str, Any]]) -> None:
    fields = [
        Field(name="a", type="value"),
        Field(name="b", type="free"),
        Field(name="c", type="value", optional=True),
    ]
    schema = learn_schema(Contract(kind="json", fields=fields), answers)
    for answer in answers:
        assert rewrite(schema, answer) == answer


@given(st.lists(st.dictionaries(st.sampled_from("abc"), values, max_size=3), min_size=1, max_size=12))
def test_tool_calls_survive_their_form(arguments: list[dict[str, Any]]) -> None:
    answers = [[{"name": f"tool{len(a) % 2}", "arguments": a}] for a in arguments]
    schema = learn_schema(Contract(kind="tool_call", may_defer=True), [*answers, DEFER])
    for answer in [*answers, DEFER]:
        assert rewrite(schema, answer) == answer


@pytest.mark.parametrize("kind", list(tiny_tasks.CONTRACTS))
def test_every_answer_of_the_tiny_tasks_survives(kind: str) -> None:
    contract = tiny_tasks.CONTRACTS[kind]
    answers = [answer_of(tiny_tasks.example(kind, i, "train").response, contract) for i in range(60)]
    schema = learn_schema(contract, answers)
    for answer in answers:
        assert answer is not None
        assert rewrite(schema, answer) == answer


def test_what_decides_is_written_before_prose_and_keys_keep_the_teachers_order() -> None:
    contract = tiny_tasks.CONTRACTS["values"]
    answers = [answer_of(tiny_tasks.example("values", i, "train").response, contract) for i in range(40)]
    schema = learn_schema(contract, answers)
    assert [s.name for s in schema.slots] == ["intent", "order", "email", "note"]
    assert list(rewrite(schema, answers[0])) == ["note", "order", "email", "intent"]


def test_constants_are_never_written() -> None:
    contract = tiny_tasks.CONTRACTS["closed"]
    answers = [answer_of(tiny_tasks.example("closed", i, "train").response, contract) for i in range(40)]
    schema = learn_schema(contract, answers)
    segments = schema.segments(answers[0])
    assert segments is not None
    assert [slot.name for slot, _ in segments] == ["intent", "urgent"]


def test_an_unseen_label_tool_or_key_cannot_be_expressed() -> None:
    contract = tiny_tasks.CONTRACTS["action"]
    schema = learn_schema(contract, [[{"name": "refund", "arguments": {"order": "1"}}]])
    assert schema.segments([{"name": "other", "arguments": {}}]) is None
    assert schema.segments([{"name": "refund", "arguments": {"order": "1", "more": 2}}]) is None
    assert schema.segments([{"name": "refund", "arguments": {}}]) is None
    label = learn_schema(tiny_tasks.CONTRACTS["label"], ["yes"])
    assert label.segments("perhaps") is None


def test_a_mixed_site_decides_first_whether_to_answer() -> None:
    schema = learn_schema(Contract(kind="label", labels=["a", "b"], may_defer=True), ["a", "b", DEFER])
    assert schema.action_field is not None and schema.action_field.name == ACTION
    assert sorted(schema.action_field.choices) == sorted([REPLY, DEFER])
    assert [t for _, t in schema.segments(DEFER) or []] == [DEFER]
    assert [t for _, t in schema.segments("a") or []] == [REPLY, "a"]


def test_arguments_of_few_recurring_values_are_decisions() -> None:
    answers = [
        [{"name": "f", "arguments": {"queue": "ab"[i % 2], "id": str(i), "mode": "x"}}] for i in range(20)
    ]
    schema = learn_schema(Contract(kind="tool_call"), answers)
    queue, id_, mode = schema.actions["f"][0].slots
    assert (queue.role, queue.choices) == ("decision", ["a", "b"])
    assert (id_.role, id_.constant) == ("value", None)
    assert mode.constant == "x"


def test_a_text_that_is_no_value_makes_no_answer() -> None:
    schema = learn_schema(Contract(kind="json", fields=[Field(name="n", type="value")]), [{"n": 1}, {"n": 2}])
    builder = AnswerBuilder(schema)
    assert builder.answer() is None, "slots are missing"
    builder.put("twelve")
    assert builder.answer() is None


def test_closed_forms_are_read_in_one_pass_and_open_ones_are_not() -> None:
    assert closed(learn_schema(tiny_tasks.CONTRACTS["values"], [])) is None
    assert closed(learn_schema(tiny_tasks.CONTRACTS["line"], ["a b"])) is None
    contract = tiny_tasks.CONTRACTS["closed"]
    answers = [answer_of(tiny_tasks.example("closed", i, "train").response, contract) for i in range(40)]
    schema = closed(learn_schema(contract, answers))
    assert schema is not None
    for answer in answers:
        indices = schema.indices(answer)
        assert indices is not None
        assert schema.answer(indices) == answer
        assert json.dumps(schema.answer(indices)) == json.dumps(answer), "keys keep their order"


def test_a_partly_closed_form_answers_open_actions_with_none() -> None:
    answers = [[{"name": "stop", "arguments": {}}], [{"name": "find", "arguments": {"q": "x"}}], DEFER]
    answers += [[{"name": "find", "arguments": {"q": str(i)}}] for i in range(9)]
    schema = learn_schema(Contract(kind="tool_call", may_defer=True), answers)
    assert closed(schema) is None
    partly = closed(schema, partly=True)
    assert partly is not None and partly.open_actions == ["find"]
    read = {a: partly.answer([i]) for i, a in enumerate(partly.questions[0].choices)}
    assert read == {"find": None, "stop": answers[0], DEFER: DEFER}


def test_what_is_left_to_the_llm_asks_no_further_question() -> None:
    schema = closed(
        learn_schema(Contract(kind="label", labels=["a", "b"], may_defer=True), ["a", "b", DEFER])
    )
    assert schema is not None
    left = schema.questions[0].choices.index(DEFER)
    assert schema.indices(DEFER) == [left, -1]
    assert schema.asked([left, 0]) == [True, False]
    assert schema.answer([left, 0]) == DEFER


def test_what_one_person_alone_has_is_not_in_a_form() -> None:
    def act(n: int) -> list[dict[str, Any]]:
        mine = n % 25 == 0
        name = "zobafel" if n % 50 == 0 else "book"
        return [
            {
                "name": name,
                "arguments": {
                    "way": "bobafel" if mine else "ab"[n % 2],
                    **({"dobafel": "x"} if mine else {}),
                },
            }
        ]

    answers = [act(n) for n in range(200)]
    subjects = Subjects(["zoe" if n % 25 == 0 else f"o{n % 7}" for n in range(200)], 2)
    schema = learn_schema(Contract(kind="tool_call"), answers, subjects)
    assert "obafel" not in str(schema)
    assert schema.actions["book"][0].slots[0].choices == ["a", "b"], (
        "the others' values are still a closed set"
    )
    assert schema.segments(answers[1]) is not None and schema.segments(answers[0]) is None
    everything = str(learn_schema(Contract(kind="tool_call"), answers))
    assert all(word in everything for word in ("zobafel", "bobafel", "dobafel"))


def test_a_value_that_one_persons_answers_alone_have_is_no_constant() -> None:
    contract = Contract(kind="json", fields=[Field(name="note", type="value")])
    answers = [{"note": "zobafel"}] * 20
    assert "zobafel" in str(learn_schema(contract, answers, Subjects(["a", "b"] * 10, 2)))
    assert "zobafel" not in str(learn_schema(contract, answers, Subjects(["a"] * 20, 2)))


FORMS = {
    "python": "def total(xs):\n    s = 0\n    for x in xs:\n        s += x\n    return s",
    "list": "- buy milk\n  - two litres\n- call Tom",
    "makefile": "all: a.o\n\tgcc -o all a.o\n\n.PHONY: all",
    "json in a string": '{"code": "if a:\\n    b()"}',
    "windows": "one\r\n  two",
    "blanks": "  a  b\u00a0c",
}


@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS)
def test_line_breaks_and_indentation_survive_training_and_serving(text: str) -> None:
    reply: Message = {"role": "assistant", "content": text}
    for contract, message in (
        (Contract(kind="text"), reply),
        (Contract(kind="label", labels=[text, "other"]), reply),
        (
            Contract(kind="json", fields=[Field(name="code", type="value")], fence="```json"),
            {
                "role": "assistant",
                "content": f"```json\n{json.dumps({'code': text}, ensure_ascii=False)}\n```",
            },
        ),
        (
            Contract(kind="json", fields=[Field(name="code", type="label", labels=[text, "other"])]),
            {"role": "assistant", "content": json.dumps({"code": text}, ensure_ascii=False)},
        ),
        (
            Contract(kind="tool_call", tools=["run"]),
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {
                        "id": "c1",
                        "type": "function",
                        "function": {
                            "name": "run",
                            "arguments": json.dumps({"code": text}, ensure_ascii=False),
                        },
                    }
                ],
            },
        ),
    ):
        answer = answer_of(message, contract)
        written = rewrite(learn_schema(contract, [answer]), answer)
        assert message_of(written, contract, ["c1"]) == message


def test_numbers_keep_their_kind() -> None:
    contract = Contract(kind="json", fields=[Field(name="n", type="value")])
    schema = learn_schema(contract, [{"n": 1}, {"n": 1.0}])
    assert [type(rewrite(schema, {"n": n})["n"]) for n in (1, 1.0, True)] == [int, float, bool]
