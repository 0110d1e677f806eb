"""The grammar of an answer, and the way back from what was written."""

from __future__ import annotations

from tests import tiny_tasks

from deputize.core.contracts import DEFER, answer_of
from deputize.core.records import Answer
from deputize.specialists.answer_schema import AnswerSchema
from deputize.specialists.export_forms.answer_grammar import answer_of_text, grammar_of
from deputize.specialists.learn_schema import learn_schema


def schema_and_answers(task: str) -> tuple[AnswerSchema, list[Answer]]:
    contract = tiny_tasks.CONTRACTS[task]
    answers = [answer_of(tiny_tasks.example(task, n, "train").response, contract) for n in range(40)]
    return learn_schema(contract, [a for a in answers if a is not None]), answers


def written(schema: AnswerSchema, answer: Answer) -> str:
    segments = schema.segments(answer)
    assert segments is not None
    return "".join(f" {text}\n" for _, text in segments)


def test_what_is_written_slot_by_slot_is_read_back() -> None:
    for task in tiny_tasks.CONTRACTS:
        schema, answers = schema_and_answers(task)
        for answer in answers:
            assert answer_of_text(schema, written(schema, answer) + "more that follows") == answer


def test_what_is_cut_or_no_choice_is_no_answer() -> None:
    schema, answers = schema_and_answers("closed")
    whole = written(schema, answers[0])
    assert answer_of_text(schema, whole[:-1]) is None and answer_of_text(schema, "") is None
    assert answer_of_text(schema, " nonsense\n" + whole) is None


def test_the_grammar_names_every_way_to_answer() -> None:
    schema, _ = schema_and_answers("action")
    root = grammar_of(schema).splitlines()[0]
    ways = root.removeprefix("root ::= ").split(" | ")
    assert f'" " "{DEFER}" "\\n"' in [w.strip() for w in ways]
    assert any(way.startswith('" " "refund" "\\n" value "\\n"') for way in ways)
    closed_schema, _ = schema_and_answers("closed")
    assert grammar_of(closed_schema).startswith('root ::= " " (') and '"mail"' not in grammar_of(
        closed_schema
    )


def test_signs_of_the_grammar_are_escaped() -> None:
    schema, _ = schema_and_answers("label")
    slot = schema.slots[0]
    odd = AnswerSchema(
        kind="label", slots=[type(slot)(name=slot.name, role="decision", choices=['a"b\\', "c"])]
    )
    assert '"a\\"b\\\\"' in grammar_of(odd)
