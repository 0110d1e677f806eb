"""Evaluation refuses a specialist that gives planted secrets away. Nothing is made up: the specialists are trained,
tested by S5's own leak test, saved, and read from disk again."""

from __future__ import annotations

import math
import time
from pathlib import Path

import pytest
from tests import tiny_tasks
from tests.unit.stages.evaluate.conftest import population_of

from deputize.core.artifacts import Curated, Discovered, Finetuned, Selected, Specialist
from deputize.core.config import Convert
from deputize.core.deadline import Deadline
from deputize.core.progress import silent
from deputize.specialists.learn_schema import learn_schema
from deputize.specialists.linear_model import LinearPredictor, LinearSettings
from deputize.specialists.pointer_predictor import fit_linear_predictor
from deputize.specialists.predictor import load
from deputize.stages.evaluate.build_report import build
from deputize.stages.evaluate.run import run
from deputize.stages.finetune import planted_secrets
from deputize.stages.finetune import run as finetune
from deputize.stages.finetune.examples import training_set_of
from deputize.stages.finetune.methods.base import Trained, TrainingContext, TrainingJob
from deputize.stages.finetune.methods.linear import LINEAR
from deputize.stages.finetune.package import package

CONFIG = Convert(epsilon=0.1)
SELECTED = Selected(candidates={}, plan={"label": ["linear"]}, base_model="")


def careless(home: Path, curated: Curated, discovered: Discovered) -> Specialist:
    """A linear specialist that keeps every n-gram, those of one episode too, and so every secret."""
    (task,) = discovered.tasks
    examples = training_set_of(curated, discovered.assignment, task)
    form = learn_schema(task.contract, [x.answer for x in examples.train])
    planted = planted_secrets.plant_to_choose(
        examples.train, lambda answer: form.segments(answer) is not None, seed=0
    )
    trained_on = [*examples.train, *planted.examples]
    predictor = fit_linear_predictor(
        form,
        [x.text for x in trained_on],
        [x.answer for x in trained_on],
        groups=[x.group for x in trained_on],
        variant=LinearSettings(1, 20.0),
    )
    assert isinstance(predictor, LinearPredictor)
    trained = Trained(
        predictor=predictor,
        kind="linear",
        model="every n-gram",
        save=predictor.save,
        train_s=1.0,
        leak=planted_secrets.leak_test(
            planted,
            planted_secrets.loss_of_classifier(predictor),
            n_references=(255, 255),
            budget_s=math.inf,
            seed=0,
        ),
    )
    folder = home / "specialists" / "careless"
    folder.parent.mkdir(parents=True)
    job = TrainingJob(examples, form, LINEAR, folder, 0, 1, "careless")
    return package(trained, job, TrainingContext(CONFIG, home, home, "", silent, time.monotonic))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Curated, Discovered, Specialist]:
    home = tmp_path_factory.mktemp("home")
    curated, discovered = tiny_tasks.make(("label",), 400)
    return home, curated, discovered, careless(home, curated, discovered)


def test_one_that_leaks_is_refused_however_well_it_answers(
    trained: tuple[Path, Curated, Discovered, Specialist],
) -> None:
    home, curated, discovered, leaking = trained
    assert leaking.leak is not None and leaking.leak.leaks and leaking.validation_accuracy == 1.0
    finetuned = Finetuned(specialists=[leaking])
    (result,) = run(
        curated,
        discovered,
        SELECTED,
        finetuned,
        population_of(curated, discovered),
        CONFIG,
        home=home,
        load=lambda folder: load(folder, home),
    )
    assert result.certificate is None and not result.chosen
    assert result.refusal_reason.startswith("linear leaks: ") and "planted secrets" in result.refusal_reason
    assert not any(row.trained for row in result.methods), "no figure of its is shown as if it could serve"
    report = build(
        run_id="r",
        config=CONFIG,
        curated=curated,
        discovered=discovered,
        selected=SELECTED,
        finetuned=finetuned,
        results=[result],
        timings_s={},
        environment={},
    )
    (task,) = report["tasks"]
    assert report["total"]["n_routes"] == 0 and task["refusal_reason"] == result.refusal_reason
    (test,) = task["leak_tests"]
    assert test["leaks"] and test["method"] == "linear" and test["n_planted"] == planted_secrets.MOST


def test_another_one_that_does_not_leak_is_certified_and_the_leak_is_noted(
    trained: tuple[Path, Curated, Discovered, Specialist],
) -> None:
    home, curated, discovered, leaking = trained
    careful = finetune.run(
        curated,
        discovered,
        SELECTED,
        CONFIG,
        home=home,
        out_dir=home / "careful",
        models_dir=home,
        deadline=Deadline.after(60.0),
        progress=lambda *_: None,
    )
    (sound,) = careful.specialists
    assert sound.leak is not None and not sound.leak.leaks
    (result,) = run(
        curated,
        discovered,
        SELECTED,
        Finetuned(specialists=[leaking, sound]),
        population_of(curated, discovered),
        CONFIG,
        home=home,
        load=lambda folder: load(folder, home),
    )
    assert result.certificate is not None and result.chosen == sound.id
    assert result.evaluation.leaks.startswith("linear leaks: ")


def test_the_same_specialist_would_be_certified_were_it_not_tested(
    trained: tuple[Path, Curated, Discovered, Specialist],
) -> None:
    """It is the leak test alone that refuses it."""
    import msgspec

    home, curated, discovered, leaking = trained
    untested = msgspec.structs.replace(leaking, leak=None)
    (result,) = run(
        curated,
        discovered,
        SELECTED,
        Finetuned(specialists=[untested]),
        population_of(curated, discovered),
        CONFIG,
        home=home,
        load=lambda folder: load(folder, home),
    )
    assert result.certificate is not None
