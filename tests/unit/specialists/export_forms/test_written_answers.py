"""Answers that an engine writes."""

from __future__ import annotations

from tests.unit.specialists.writing.test_answer_grammar import schema_and_answers, written

from deputize.specialists.export_forms.written_answers import WrittenAnswers


def test_what_the_engine_writes_is_read() -> None:
    schema, answers = schema_and_answers("values")
    predictor = WrittenAnswers(schema, lambda text: written(schema, answers[int(text)]))
    assert [p.answer for p in predictor.predict(["3", "0"])] == [answers[3], answers[0]]
    assert WrittenAnswers(schema, lambda text: "nothing").predict(["3"])[0].answer is None
