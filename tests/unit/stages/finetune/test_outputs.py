"""Heads where answers are chosen, a decoder where they are written."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests import tiny_tasks

from deputize.specialists.language_model import LanguageModel
from deputize.specialists.learn_schema import learn_schema
from deputize.stages.finetune.encode import EncodedExample
from deputize.stages.finetune.examples import training_set_of
from deputize.stages.finetune.outputs import answer_mode_of, longest_slot


@pytest.mark.parametrize(("kind", "expected"), [("label", "head"), ("closed", "head"), ("line", "decoder")])
def test_each_way_plants_encodes_and_predicts(kind: str, expected: str, tiny: tuple[Path, str]) -> None:
    base = LanguageModel(tiny[0] / tiny[1], "cpu", "fp32")
    curated, discovered = tiny_tasks.make((kind,), 40)
    examples = training_set_of(curated, discovered.assignment, discovered.tasks[0]).train
    output = answer_mode_of(learn_schema(discovered.tasks[0].contract, [x.answer for x in examples]))
    assert output.kind == expected
    heads = output.heads(base)
    assert bool(heads) == (expected == "head")
    planted = output.plant(examples, 0)
    rows = output.encode(base, [*examples, *planted.examples])
    assert planted.secrets and len(rows) == len(examples) + len(planted.examples)
    predictor = output.predictor(base, "", heads, rows)
    (found,) = predictor.predict([examples[0].text])
    assert found.n_prompt_tokens > 0
    (loss,) = output.leak_loss(predictor, planted)([planted.secrets[0].filled()])
    assert loss > 0


def test_the_longest_slot_has_a_margin_and_leaves_out_the_longest_hundredth() -> None:
    def row(n: int) -> EncodedExample:
        return EncodedExample([0] * (10 + n), 10, 1.0, [], [])

    assert longest_slot([]) == 8
    assert longest_slot([row(4)] * 10) == 13
    assert longest_slot([row(4)] * 995 + [row(400)] * 5) == 13
