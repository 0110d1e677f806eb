"""Help at inference: specialists of their own around a decoder that was trained, and only where that can add something."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from msgspec import structs
from tests import tiny_tasks
from tests.simulated_orders import CONTRACT, call_of, order

from deputize.core.artifacts import Curated, Discovered, Finetuned, Selected
from deputize.core.config import Convert
from deputize.core.deadline import Deadline
from deputize.core.progress import silent
from deputize.core.records import Example, PromptRecipe, Request, Task
from deputize.specialists.base import RawPrediction
from deputize.specialists.confidence import RawConfidence
from deputize.specialists.predictor import load, unload
from deputize.specialists.tokenized_text import TokenizedText
from deputize.specialists.tooled_answers import TooledPredictor, with_tools
from deputize.stages.finetune import run as stage
from deputize.stages.finetune.examples import training_set_of
from deputize.stages.finetune.methods.base import TrainingContext
from deputize.stages.finetune.run import helped, jobs_of
from deputize.stages.finetune.run import run as finetune
from deputize.testing import check_predictor

Tiny = tuple[Path, str]
HELP = Convert(explore=True, inference_help=("self_consistency", "verifier", "tools"))
ASKED = ("self_consistency", "verifier")


@pytest.fixture(scope="module")
def trained(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Finetuned]:
    home = tmp_path_factory.mktemp("home")
    curated, discovered = tiny_tasks.make(("line", "label"), 40)
    plan = {"line": ["lora"], "label": ["lora"]}
    selected = Selected(candidates={}, plan=plan, base_model=tiny[1])
    made = finetune(
        curated,
        discovered,
        selected,
        HELP,
        home=home,
        out_dir=home / "specialists",
        models_dir=tiny[0],
        deadline=Deadline.after(300),
        progress=silent,
    )
    return home, made


def test_what_writes_gets_each_help_and_what_chooses_gets_none(trained: tuple[Path, Finetuned]) -> None:
    found = {(s.task_id, s.method): s for s in trained[1].specialists}
    assert set(found) == {  # and no tools: nothing is computed in a line
        ("label", "lora"),
        ("line", "lora"),
        ("line", "lora:self_consistency"),
        ("line", "lora:verifier"),
    }
    member = found["line", "lora"]
    for name in ASKED:
        made = found["line", f"lora:{name}"]
        assert (made.kind, made.leak, made.base_sha256) == (name, member.leak, member.base_sha256)
        assert made.cost > member.cost and not made.is_fast


@pytest.mark.parametrize("name", ASKED)
def test_each_is_whole_by_itself_and_keeps_the_contract_of_predictors(
    trained: tuple[Path, Finetuned], tiny: Tiny, tmp_path: Path, name: str
) -> None:
    home, finetuned = trained
    (made,) = [s for s in finetuned.specialists if s.method == f"lora:{name}"]
    shutil.copytree(home / made.path, tmp_path / "alone")
    assert not list((tmp_path / "alone").glob("*/out_of_distribution.npz"))
    loaded = load(tmp_path / "alone", tiny[0])
    try:
        assert loaded.engine.startswith("local ") and loaded.written_with is None
        check_predictor(loaded, [tiny_tasks.example("line", i, "test").request for i in range(90, 93)])
    finally:
        unload(loaded)


def test_it_is_left_out_where_the_member_is_enough_or_leaks(
    trained: tuple[Path, Finetuned], tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, finetuned = trained
    (member,) = [s for s in finetuned.specialists if (s.task_id, s.method) == ("line", "lora")]
    curated, discovered = tiny_tasks.make(("line",), 40)
    config = HELP.model_copy(update={"explore": False})
    deadline = Deadline.after(300)
    context = TrainingContext(config, home, tiny[0], tiny[1], silent, deadline.clock)
    examples = training_set_of(curated, discovered.assignment, discovered.tasks[0])
    (job,) = jobs_of(examples, ["lora"], context, tmp_path)
    enough = structs.replace(member, validation_coverage=0.97)
    monkeypatch.setattr(stage, "train", lambda *given: pytest.fail("nothing is to be tried"))
    assert helped(enough, job, [enough], context, deadline) == []
    assert member.leak is not None
    leaky = structs.replace(member, leak=structs.replace(member.leak, leaks="all of them"))
    assert helped(leaky, job, [leaky], context, deadline) == []


def test_a_model_that_writes_gets_the_values_that_are_computed_from_a_calculator(
    tiny: Tiny, tmp_path: Path
) -> None:
    calls = [call_of(n) for n in range(50)]
    examples = [
        Example(
            call_id=call.id,
            request=Request(messages=call.messages, site=call.site),
            response=call.response,
            audience="code",
            site=call.site,
            episode=call.episode,
            group=call.episode,
            split="train" if n < 40 else "validation",
        )
        for n, call in enumerate(calls)
    ]
    task = Task(id="price", name="price", contract=CONTRACT, recipe=PromptRecipe(), keys=["k"], n_calls=50)
    made = finetune(
        Curated(examples=examples, sites=[], n_calls=50, n_episodes=50, n_code_calls=50),
        Discovered(tasks=[task], keyspaces=[], assignment={e.call_id: "price" for e in examples}),
        Selected(candidates={}, plan={"price": ["lora"]}, base_model=tiny[1]),
        HELP.model_copy(update={"inference_help": ("tools",)}),
        home=tmp_path,
        out_dir=tmp_path / "specialists",
        models_dir=tiny[0],
        deadline=Deadline.after(300),
        progress=silent,
    )
    (tooled,) = [s for s in made.specialists if s.method == "lora:tools"]
    assert tooled.kind == "tools" and tooled.model.endswith("; total: a * b")
    loaded = load(tmp_path / tooled.path, tiny[0])
    try:
        fresh = [order(n) for n in range(700, 712)]
        requests = [
            Request(messages=[calls[0].messages[0], {"role": "user", "content": t}]) for t, _ in fresh
        ]
        check_predictor(loaded, requests)
        predictor = loaded.text_predictor
        assert isinstance(predictor, TooledPredictor)
        for text, answer in fresh:  # a tiny model of random weights writes no answer to its end
            wrote = RawPrediction({**answer, "total": 0.5}, RawConfidence(-0.1, 1.0, 1.0))
            found = with_tools(wrote, TokenizedText(text), predictor.decoder.schema, predictor.tools)
            assert found.answer in (answer, None)
    finally:
        unload(loaded)
