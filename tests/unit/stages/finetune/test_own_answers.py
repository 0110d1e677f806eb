"""Answers drawn by a specialist in training: within its schema, token by token as a row that can be scored."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests import tiny_tasks

from deputize.core.contracts import answer_of
from deputize.core.prompt import prune
from deputize.specialists.language_model import LanguageModel
from deputize.specialists.learn_schema import learn_schema
from deputize.stages.finetune.encode import encode_for_decoder
from deputize.stages.finetune.examples import TrainingExample
from deputize.stages.finetune.own_answers import OwnAnswers
from deputize.stages.finetune.trainer import TrainingSettings, adapter_settings


@pytest.mark.parametrize("kind", ["values", "action"])
def test_rows_of_drawn_answers_score_what_was_not_forced(kind: str, tiny: tuple[Path, str]) -> None:
    base = LanguageModel(tiny[0] / tiny[1], "cpu", "fp32")
    base.new_adapter("x", adapter_settings(base, TrainingSettings()))
    contract, recipe = tiny_tasks.CONTRACTS[kind], tiny_tasks.task(kind).recipe
    calls = [tiny_tasks.example(kind, n, "train") for n in range(24)]
    examples = [
        TrainingExample(e.call_id, prune(e.request, recipe), a, 2.0)
        for e in calls
        if (a := answer_of(e.response, contract)) is not None
    ]
    schema = learn_schema(contract, [x.answer for x in examples])
    rows = [r for r in encode_for_decoder(base, examples, schema, 200) if r is not None]
    drawn = OwnAnswers(base, "x", schema, 12).drawn(rows, 3)
    assert len(drawn) == len(rows)
    for row, own in zip(rows, drawn, strict=True):
        assert own.ids[: own.n_prompt] == row.ids[: row.n_prompt] and own.weight == row.weight
        assert own.scored and all(own.ids[s.at] == s.token for s in own.scored)
        assert all(s.allowed is None or s.token in s.allowed for s in own.scored)
        assert len(own) - own.n_prompt <= 13 * 5
    assert len({tuple(own.ids[own.n_prompt :]) for own in drawn}) > len(rows) // 2, "drawn, not the likeliest"
