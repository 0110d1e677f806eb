"""The grammar of an answer, and the way back from what was written."""

from __future__ import annotations

from tests import tiny_tasks

from deputize.core.contracts import DEFER, answer_of
from deputize.core.records import Answer
from deputize.specialists.answer_schema import AnswerSchema
from deputize.specialists.learn_schema import learn_schema
from deputize.specialists.writing.answer_grammar import answer_of_text, grammar_of, is_one_line


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


def slot_ids(text: str) -> list[int]:
    """A token for each sign, and 0 for the line break."""
    return [*map(ord, text), 0]


def tokens(text: str) -> str:
    return " ".join(f"<[{id}]>" for id in slot_ids(text))


def test_the_grammar_names_every_way_to_answer_in_tokens() -> None:
    schema, _ = schema_and_answers("action")
    root, value = grammar_of(schema, slot_ids).splitlines()
    ways = root.removeprefix("root ::= ").split(" | ")
    assert tokens(DEFER) in ways
    assert any(way.startswith(f"{tokens('refund')} value <[0]>") for way in ways)
    assert value == "value ::= [^\\r\\n]*"
    closed_schema, _ = schema_and_answers("closed")
    grammar = grammar_of(closed_schema, slot_ids)
    assert grammar.startswith("root ::= (") and tokens("refund") in grammar
    assert tokens("mail") not in grammar, "a constant is not written"


def test_only_where_each_answer_is_one_line_may_an_engine_stop_there() -> None:
    one_line = {
        task: is_one_line(schema_and_answers(task)[0])
        for task in ("label", "closed", "values", "action", "line")
    }
    assert one_line == {"label": True, "closed": False, "values": False, "action": False, "line": True}
