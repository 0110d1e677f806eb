"""Answers as scored tokens: decisions against their choices, weights that add up."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests import tiny_tasks

from deputize.specialists.closed_answers import closed
from deputize.specialists.language_model import LanguageModel
from deputize.specialists.learn_schema import learn_schema
from deputize.stages.finetune.encode import encode_for_decoder, encode_for_head
from deputize.stages.finetune.examples import TrainingExample, training_set_of


@pytest.fixture(scope="module")
def base(tiny: tuple[Path, str]) -> LanguageModel:
    return LanguageModel(tiny[0] / tiny[1], "cpu", "fp32")


def test_scored_tokens_are_those_of_the_answer_and_their_weights_add_up(base: LanguageModel) -> None:
    curated, discovered = tiny_tasks.make(("values",), 40)
    examples = training_set_of(curated, discovered.assignment, discovered.tasks[0]).train
    schema = learn_schema(tiny_tasks.CONTRACTS["values"], [x.answer for x in examples])
    for row in encode_for_decoder(base, examples, schema, 256):
        assert row is not None
        assert sum(s.weight for s in row.scored) == pytest.approx(1.0)
        for s in row.scored:
            assert s.at >= row.n_prompt and row.ids[s.at] == s.token
            assert s.allowed is None or (s.token in s.allowed and len(s.allowed) > 1)
        assert any(not s.counts for s in row.scored), "the note is free text"


def test_what_the_schema_cannot_express_is_left_out(base: LanguageModel) -> None:
    schema = learn_schema(tiny_tasks.CONTRACTS["label"], ["yes", "no"])
    answers = closed(schema)
    assert answers is not None
    examples = [TrainingExample(a, f"text {a}", a, 1.0) for a in ("yes", "maybe", "no")]
    assert [r is None for r in encode_for_decoder(base, examples, schema, 64)] == [False, True, False]
    rows = encode_for_head(base, examples, answers, 64)
    assert [r.targets if r else None for r in rows] == [[0], None, [1]]
