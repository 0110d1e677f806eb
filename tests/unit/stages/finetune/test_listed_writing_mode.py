"""Rows for a model that writes the arguments of listed tools, and the secrets that are planted among them."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path

import pytest
from tests.simulated_lists import CONTRACT, RECIPE, TOOLS, call_of, example_of, schema_call

from deputize.core.contracts import DEFER, answer_of
from deputize.core.listed_tools import split_list
from deputize.core.prompt import prune
from deputize.core.records import Contract
from deputize.core.subjects import Subjects
from deputize.scoring.leak import SLOT, LeakProbe
from deputize.specialists.fit_listed import fit_listed
from deputize.specialists.language_model import LanguageModel
from deputize.specialists.listed_answers import ListedPredictor
from deputize.stages.finetune import trainer
from deputize.stages.finetune.examples import TrainingExample
from deputize.stages.finetune.listed_writing_mode import ListedWritingMode, tokens_written
from deputize.stages.finetune.planted_secrets import leak_test

pytest.importorskip("llguidance", reason="llguidance is not installed (pip install 'deputize[train]')")


def examples_of(n: int = 60) -> list[TrainingExample]:
    made = [example_of(call_of(i, TOOLS[:12])) for i in range(n)]
    return [
        TrainingExample(
            e.call_id, prune(e.request, RECIPE), answer_of(e.response, CONTRACT) or DEFER, 1.0, e.group
        )
        for e in made
    ]


@pytest.fixture(scope="module")
def base(tiny: tuple[Path, str]) -> LanguageModel:
    return LanguageModel(tiny[0] / tiny[1], "cpu", "fp32")


@pytest.fixture(scope="module")
def chooser() -> ListedPredictor:
    some = examples_of()
    found = fit_listed(
        CONTRACT,
        [x.text for x in some],
        [x.answer for x in some],
        groups=[x.group for x in some],
        subjects=Subjects([x.group for x in some], 1),
    )
    assert found is not None
    return found


def test_a_row_is_one_tool_the_request_and_its_arguments(
    base: LanguageModel, chooser: ListedPredictor
) -> None:
    mode, some = ListedWritingMode(CONTRACT, chooser), examples_of()
    rows = mode.encode(base, some)
    called = [x for x in some if x.answer != DEFER]
    assert len(rows) == len(called) < len(some), "a call that none of the tools answers teaches no arguments"
    one, row = called[0], rows[0]
    assert isinstance(one.answer, list)
    text = base.tokenizer.decode(row.ids, clean_up_tokenization_spaces=False)
    names = [tool.name for tool in split_list(one.text)[1]]
    assert one.answer[0]["name"] in text and len(names) > 1
    assert not any(name in text for name in names if name != one.answer[0]["name"])
    answer = base.tokenizer.decode(row.ids[row.n_prompt :], clean_up_tokenization_spaces=False)
    assert json.loads(answer) == one.answer[0]["arguments"]
    assert tokens_written(CONTRACT, some) < sum(len(x.text) for x in some) // 3


@pytest.mark.parametrize(
    "answer",
    [
        [{"name": "no_such_tool", "arguments": {}}],
        [{"name": "TOOL", "arguments": {"person": "Anna", "number": "three"}}],
        [{"name": "TOOL", "arguments": {"person": "Anna"}}],
        [{"name": "TOOL", "arguments": {"person": "Anna", "number": 3, "colour": "red"}}],
        [{"name": "TOOL", "arguments": {"person": "Anna", "number": 3}}] * 2,
    ],
)
def test_what_breaks_its_schema_is_not_trained_on(
    base: LanguageModel, chooser: ListedPredictor, answer: list[dict[str, object]]
) -> None:
    one = next(x for x in examples_of() if x.answer != DEFER)
    assert isinstance(one.answer, list)
    named = [{**call, "name": str(call["name"]).replace("TOOL", one.answer[0]["name"])} for call in answer]
    wrong = TrainingExample("c", one.text, named, 1.0)
    assert ListedWritingMode(CONTRACT, chooser).encode(base, [wrong]) == []


def test_secrets_stand_in_texts_among_the_arguments(base: LanguageModel, chooser: ListedPredictor) -> None:
    mode, some = ListedWritingMode(CONTRACT, chooser), examples_of()
    planted = mode.plant(some, 0)
    assert len(planted.secrets) == len(planted.examples) == 3
    assert len(mode.encode(base, planted.examples)) == 3, "they are trained on like any other call"
    for secret, example in zip(planted.secrets, planted.examples, strict=True):
        assert SLOT in secret.answer and SLOT not in secret.prompt and "memory test" in secret.prompt
        assert isinstance(example.answer, list)
        assert example.answer[0]["arguments"] == json.loads(secret.filled().answer)
        assert example.answer[0]["arguments"]["person"] == secret.secret not in example.text
    assert mode.plant(some, 0) == planted and mode.plant(some, 1) != planted
    recurring = mode.plant([*some, *(replace(x, call_id="again") for x in some)], 0)
    assert [secret.repeats for secret in recurring.secrets] == [2, 1, 1] and len(recurring.examples) == 4
    numbers = Contract(kind="json", from_request=True)
    made = [example_of(schema_call(i)) for i in range(20)]
    no_text = [
        TrainingExample("", prune(e.request, RECIPE), answer_of(e.response, numbers) or {}, 1.0) for e in made
    ]
    assert ListedWritingMode(numbers, chooser).plant(no_text, 0).secrets == []


def test_a_model_that_has_learned_them_by_heart_is_found_out(
    tiny: tuple[Path, str], chooser: ListedPredictor
) -> None:
    base = LanguageModel(tiny[0] / tiny[1], "cpu", "fp32")
    mode = ListedWritingMode(CONTRACT, chooser)
    planted = mode.plant(examples_of(), 0)
    hard = trainer.TrainingSettings(epochs=40, lr=1e-2, patience=40)
    base.new_adapter("a", trainer.adapter_settings(base, hard))
    before = mode.predictor(base, "a", [], [])
    loss = mode.leak_loss(before, planted)
    probe = planted.secrets[0].filled()
    other = LeakProbe(probe.prompt, planted.secrets[0].answer.replace(SLOT, "123456789"))
    assert len(loss([probe, other])) == 2
    clean = leak_test(planted, loss, n_references=(63, 255), seed=0)
    assert clean is not None and not clean.leaks
    rows = mode.encode(base, planted.examples * 8)
    run = trainer.Trainer(base, "a", hard, rows, [], [], seed=0, clock=time.monotonic)
    run.run(600.0, None, lambda *a, **k: None, "")
    found = leak_test(planted, mode.leak_loss(before, planted), n_references=(63, 255), seed=0)
    assert found is not None and found.leaks
