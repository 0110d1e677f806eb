"""Cascades of trained specialists: made of their folders, whole by themselves, the same when loaded."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import pytest
from tests import tiny_tasks

from deputize.core.artifacts import Finetuned, Selected
from deputize.core.config import Convert
from deputize.core.deadline import Deadline
from deputize.core.progress import silent
from deputize.specialists.predictor import SpecialistPredictor, load, unload
from deputize.stages.finetune import run as stage
from deputize.stages.finetune.examples import training_set_of
from deputize.stages.finetune.methods.base import TrainingContext
from deputize.testing import check_predictor

Tiny = tuple[Path, str]


@pytest.fixture(scope="module")
def trained(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Finetuned]:
    home = tmp_path_factory.mktemp("home")
    return home, tiny_tasks.train(home, *tiny, ("closed", "action"), ("linear", "frozen"), n=400)


def test_closed_tasks_get_one_and_others_do_not(trained: tuple[Path, Finetuned]) -> None:
    found = {(s.task_id, s.method): s for s in trained[1].specialists}
    assert set(found) == {
        ("closed", "linear"),
        ("closed", "linear+frozen"),
        ("closed", "frozen"),
        ("action", "linear"),
        ("action", "frozen"),
    }
    made = found["closed", "linear+frozen"]
    assert made.kind == "cascade" and not made.is_fast and made.leak is not None
    assert found["closed", "linear"].cost < made.cost < found["closed", "frozen"].cost
    assert made.model == "tf-idf + linear classifier, then tiny-random"
    assert made.settings["training"]["n_fit"] == 80, "validation only"
    assert set(made.trained_on) == set(found["closed", "frozen"].trained_on)


def test_it_is_whole_without_its_members_folders_and_answers_early_as_it_answers(
    trained: tuple[Path, Finetuned], tiny: Tiny, tmp_path: Path
) -> None:
    home, finetuned = trained
    (made,) = [s for s in finetuned.specialists if s.method == "linear+frozen"]
    alone = tmp_path / "alone"
    shutil.copytree(home / made.path, alone)
    assert not list(alone.glob("*/out_of_distribution.npz")), "the cascade has one of its own"
    requests = [tiny_tasks.example("closed", i, "test").request for i in range(400, 440)]
    whole, only_early = load(alone, tiny[0]), load(alone, tiny[0], only_early=True)
    check_predictor(whole, requests[:6])
    predictions, early = whole.predict(requests), only_early.predict_early(requests)
    same = [
        one is None or (one.answer, one.confidence) == (two.answer, two.confidence)
        for one, two in zip(early, predictions, strict=True)
    ]
    assert all(same) and any(one is not None for one in early)
    assert whole.predict_early(requests) and isinstance(whole, SpecialistPredictor)
    unload(whole)


def test_a_member_that_leaks_makes_none(trained: tuple[Path, Finetuned], tiny: Tiny, tmp_path: Path) -> None:
    finetuned = trained[1]
    linear, _, frozen = (s for s in finetuned.specialists if s.task_id == "closed")
    assert linear.leak is not None and frozen.leak is not None
    leaky = msgspec.structs.replace(frozen, leak=msgspec.structs.replace(frozen.leak, leaks=True))
    curated, discovered = tiny_tasks.make(("closed",), 40)
    examples = training_set_of(curated, discovered.assignment, discovered.tasks[0])
    context = TrainingContext(Convert(), tmp_path, tiny[0], tiny[1], silent, Deadline.after(9).clock)
    (job,) = stage.jobs_of(examples, ["frozen"], context, tmp_path)
    assert stage.cascades(leaky, job, [linear], context, Deadline.after(9)) == []
    assert stage.cascades(frozen, job, [leaky], context, Deadline.after(9)) == [], "there is no fast one"


def test_they_can_be_switched_off(tiny: Tiny, tmp_path: Path) -> None:
    curated, discovered = tiny_tasks.make(("label",), 40)
    selected = Selected(candidates={}, plan={"label": ["linear", "frozen"]}, base_model=tiny[1])
    found = stage.run(
        curated,
        discovered,
        selected,
        Convert(cascades=False),
        home=tmp_path,
        out_dir=tmp_path / "specialists",
        models_dir=tiny[0],
        deadline=Deadline.after(60),
        progress=silent,
    )
    assert [s.method for s in found.specialists] == ["linear", "frozen"]
