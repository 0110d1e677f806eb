"""Answers that an engine writes."""

from __future__ import annotations

from tests.unit.specialists.export_forms.test_answer_grammar import schema_and_answers, written

from deputize.specialists.export_forms.written_answers import WrittenAnswers, is_one_line


def test_what_the_engine_writes_is_read() -> None:
    schema, answers = schema_and_answers("values")
    predictor = WrittenAnswers(schema, lambda text: written(schema, answers[int(text)]))
    assert [p.answer for p in predictor.predict(["3", "0"])] == [answers[3], answers[0]]
    assert WrittenAnswers(schema, lambda text: "nothing").predict(["3"])[0].answer is None


def test_only_where_each_answer_is_one_line_may_an_engine_stop_there() -> None:
    one_line = {
        task: is_one_line(schema_and_answers(task)[0])
        for task in ("label", "closed", "values", "action", "line")
    }
    assert one_line == {"label": True, "closed": False, "values": False, "action": False, "line": True}
