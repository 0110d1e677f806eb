"""The listed_lora method: a language model writes the arguments of the tool that was chosen, under the tool's own
schema."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs
from tests import tiny_tasks
from tests.simulated_lists import CONTRACT, RECIPE, TOOLS, call_of, example_of

from deputize.core.artifacts import Curated, Discovered, Selected, TaskProbe
from deputize.core.config import Convert, EngineSettings
from deputize.core.contracts import DEFER
from deputize.core.deadline import Deadline
from deputize.core.errors import BadInput
from deputize.core.progress import silent
from deputize.core.records import Task
from deputize.specialists.decoder import DECODER_VERSION
from deputize.specialists.predictor import load
from deputize.specialists.serving.registry import make_engine
from deputize.stages.finetune.examples import training_set_of
from deputize.stages.finetune.methods.base import TrainingContext
from deputize.stages.finetune.methods.listed_lora import LISTED_LORA
from deputize.stages.finetune.run import jobs_of, run, train
from deputize.testing import ManualClock, check_engine, check_method

TASK = Task(id="t", name="call a tool", contract=CONTRACT, recipe=RECIPE, keys=["k"])


def test_it_keeps_the_protocol_of_methods(tiny: tuple[Path, str], tmp_path: Path) -> None:
    check_method(LISTED_LORA, *data(), tmp_path, models_dir=tiny[0], base_model=tiny[1])


def test_it_is_planned_for_lists_alone() -> None:
    probe = TaskProbe(epsilon=0.02, linear_fits=True)
    assert (
        LISTED_LORA.plan(TASK, probe).train and not LISTED_LORA.plan(tiny_tasks.task("action"), probe).train
    )
    fixed = structs.replace(TASK, contract=structs.replace(CONTRACT, from_request=False))
    assert not LISTED_LORA.plan(fixed, probe).train
    LISTED_LORA.require()


def data(n: int = 60) -> tuple[Curated, Discovered]:
    made = [example_of(call_of(i, TOOLS[:12]), "train" if i % 4 else "validation") for i in range(n)]
    curated = Curated(examples=made, sites=[], n_calls=n, n_episodes=n, n_code_calls=n)
    return curated, Discovered(tasks=[TASK], keyspaces=[], assignment={e.call_id: "t" for e in made})


def test_without_time_the_report_says_why_it_was_not_trained(tiny: tuple[Path, str], tmp_path: Path) -> None:
    selected = Selected(candidates={}, plan={"t": ["listed", "listed_lora"]}, base_model=tiny[1])
    clock = ManualClock()
    done = run(
        *data(),
        selected,
        Convert(min_origins=1),
        home=tmp_path,
        out_dir=tmp_path / "specialists",
        models_dir=tiny[0],
        deadline=Deadline.after(0.0, clock),
        progress=silent,
    )
    assert [s.method for s in done.specialists] == ["listed"]
    (left_out,) = done.not_needed["t"]
    assert left_out.model == "listed_lora"
    assert left_out.note.startswith(
        "not trained: 0 s are left for it, and one pass over its 45 examples takes"
    )


def test_a_log_without_calls_is_refused_with_a_sentence(tiny: tuple[Path, str], tmp_path: Path) -> None:
    curated, discovered = data()
    examples = training_set_of(curated, discovered.assignment, TASK)
    none = replace(examples, train=[replace(x, answer=DEFER) for x in examples.train])
    context = TrainingContext(Convert(), tmp_path, tiny[0], tiny[1], silent, time.monotonic)
    (job,) = jobs_of(none, ["listed_lora"], context, tmp_path)
    with pytest.raises(BadInput, match="no tool of a list was ever called"):
        LISTED_LORA.train(job, context, 10.0)
    (whole,) = jobs_of(examples, ["listed_lora"], context, tmp_path)
    (other,) = jobs_of(examples, ["lora"], context, tmp_path)
    assert job.n_tokens == 0 < whole.n_tokens < other.n_tokens, "one tool is read, of lists of several"


async def test_the_worker_answers_as_this_process_does(tiny: tuple[Path, str], tmp_path: Path) -> None:
    """Through the process that serves, alone and at once with others."""
    curated, discovered = data()
    context = TrainingContext(Convert(), tmp_path, tiny[0], tiny[1], silent, time.monotonic)
    examples = training_set_of(curated, discovered.assignment, TASK)
    (job,) = jobs_of(examples, ["listed_lora"], context, tmp_path / "specialists")
    specialist = train(replace(job, epochs=2), context, 60.0)
    assert specialist is not None and specialist.leak is not None and specialist.leak.n_planted == 3
    requests = [e.request for e in examples.validation_examples[:4]]
    await check_engine(
        lambda: make_engine(EngineSettings(), tmp_path, tiny[0]), specialist.path, requests, timeout_s=240.0
    )
    here = load(tmp_path / specialist.path, tiny[0]).predict(requests)
    engine = make_engine(EngineSettings(), tmp_path, tiny[0])
    await engine.start()
    try:
        there = [await engine.predict(specialist.path, request, 240.0) for request in requests]
    finally:
        await engine.stop()
    assert [(p.answer, p.engine) for p in there] == [(p.answer, p.engine) for p in here]
    assert {p.engine for p in here} == {f"local fp32 on cpu, decoder {DECODER_VERSION}, own layers"}
