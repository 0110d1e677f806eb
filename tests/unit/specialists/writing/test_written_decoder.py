"""What another program writes is read back slot by slot, with the confidence of a decoder."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.unit.specialists.writing.test_answer_grammar import schema_and_answers, written

from deputize.core.contracts import DEFER
from deputize.specialists.catalogue import model_path
from deputize.specialists.prompt_tokenizer import PromptTokenizer, slot_ids
from deputize.specialists.writing.base import WrittenToken
from deputize.specialists.writing.written_decoder import WrittenDecoder


class Recorded:
    """Gives what it was given."""

    label = "recorded f32"

    def __init__(self, *answers: list[WrittenToken], at_once: int = 1) -> None:
        self.answers, self.at_once, self.closed = list(answers), at_once, False

    def write(self, prompt: Sequence[int]) -> list[WrittenToken]:
        return self.answers.pop(0)

    def close(self) -> None:
        self.closed = True


@pytest.fixture(scope="module")
def words(tiny: tuple[Path, str]) -> PromptTokenizer:
    return PromptTokenizer.of_folder(model_path(tiny[1], tiny[0]))


def as_tokens(words: PromptTokenizer, text: str, *, by_id: bool = True) -> list[WrittenToken]:
    ids = [id for line in text.split("\n")[:-1] for id in slot_ids(words, line.removeprefix(" "))]
    return [WrittenToken(id if by_id else words.tokenizer.decode([id]), -0.5, {}) for id in ids]


@pytest.mark.parametrize("by_id", [True, False])
@pytest.mark.parametrize("task", ["label", "closed", "values", "action", "line"])
def test_answers_are_read_by_ids_and_by_texts(words: PromptTokenizer, task: str, by_id: bool) -> None:
    schema, answers = schema_and_answers(task)
    given = [as_tokens(words, written(schema, answer), by_id=by_id) for answer in answers[:8]]
    decoder = WrittenDecoder(words, Recorded(*given), schema, 200, 64)
    found = decoder.predict(["any text"] * 8)
    assert [one.answer for one in found] == answers[:8]
    assert all(one.n_output_tokens == len(tokens) for one, tokens in zip(found, given, strict=True))
    assert decoder.engine == "recorded f32"


def test_a_decision_counts_among_its_choices_and_a_value_by_itself(words: PromptTokenizer) -> None:
    schema, _ = schema_and_answers("label")
    yes, no, end = words.ids(" yes")[0], words.ids(" no")[0], words.newline
    assert yes != no
    rest = [WrittenToken(id, 0.0, {}) for id in words.ids(" yes")[1:]]
    tokens = [WrittenToken(yes, -2.0, {no: -3.0, end: -0.1}), *rest, WrittenToken(end, -0.1, {})]
    (one,) = WrittenDecoder(words, Recorded(tokens), schema, 200, 64).predict(["t"])
    assert one.answer == "yes"
    assert one.raw_confidence.log_p == pytest.approx(-math.log(1 + math.exp(-1.0)))
    assert one.raw_confidence.min_margin == pytest.approx(1.0)
    line, _ = schema_and_answers("line")
    tokens = [WrittenToken(words.ids(" a")[0], -0.25, {no: -1.25}), WrittenToken(end, -0.5, {no: -4.5})]
    (one,) = WrittenDecoder(words, Recorded(tokens), line, 200, 64).predict(["t"])
    assert one.raw_confidence == (-0.75, 1.0, 2.5)


def test_what_is_cut_or_no_choice_is_no_answer(words: PromptTokenizer) -> None:
    schema, answers = schema_and_answers("values")
    whole = as_tokens(words, written(schema, answers[0]))
    label, _ = schema_and_answers("label")
    cases = [
        (schema, whole[:-1], 64),
        (schema, [], 64),
        (schema, whole, 2),
        (label, as_tokens(words, " perhaps\n"), 64),
    ]
    for one, tokens, most in cases:
        decoder = WrittenDecoder(words, Recorded(tokens), one, 200, most)
        assert decoder.predict(["t"])[0].answer is None


def test_a_deferred_call_ends_the_answer_and_several_are_asked_at_once(words: PromptTokenizer) -> None:
    schema, _ = schema_and_answers("action")
    tokens = as_tokens(words, f" {DEFER}\n more\n")
    writer = Recorded(*[list(tokens) for _ in range(6)], at_once=3)
    decoder = WrittenDecoder(words, writer, schema, 200, 64)
    assert [one.answer for one in decoder.predict(["t"] * 6)] == [DEFER] * 6
    decoder.release()
    assert writer.closed
