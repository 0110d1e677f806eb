"""From memory to a folder: calibrated within its time, whole or not at all."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from tests import tiny_tasks

from deputize.core.config import Convert
from deputize.core.progress import silent
from deputize.core.records import Answer
from deputize.core.subjects import Subjects
from deputize.scoring.intervals import coverage_around
from deputize.specialists.base import RawPrediction
from deputize.specialists.confidence import RawConfidence
from deputize.specialists.learn_schema import learn_schema
from deputize.specialists.specialist_card import check_files, read_card, settings_of
from deputize.stages.finetune.examples import training_set_of
from deputize.stages.finetune.fit_ood_detector import Predicted
from deputize.stages.finetune.methods.base import Trained, TrainingContext, TrainingJob
from deputize.stages.finetune.methods.registry import find_method
from deputize.stages.finetune.package import package, predict_within, servable_share


class Yes:
    """Always "yes"; takes a while for each text."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds

    def predict(self, texts: Sequence[str]) -> list[RawPrediction]:
        time.sleep(self.seconds * len(texts))
        return [RawPrediction("yes", RawConfidence(-0.5, 1.0, 1.0)) for _ in texts]


class Writes(Yes):
    """Knows forms."""

    known: tuple[Sequence[str], Sequence[Answer], Subjects] | None = None

    def know_forms(self, texts: Sequence[str], answers: Sequence[Answer], subjects: Subjects) -> None:
        self.known = texts, answers, subjects


class Full:
    """Takes everything down while it is written."""

    def __call__(self, folder: Path) -> None:
        (folder / "half.npz").write_bytes(b"half")
        raise OSError("no space left on device")


def job(folder: Path, n: int = 60) -> TrainingJob:
    curated, discovered = tiny_tasks.make(("label",), n)
    examples = training_set_of(curated, discovered.assignment, discovered.tasks[0])
    schema = learn_schema(examples.task.contract, [x.answer for x in examples.train])
    return TrainingJob(examples, schema, find_method("linear"), folder, 1, 1, "mark")


def context(home: Path) -> TrainingContext:
    return TrainingContext(Convert(seed=3), home, home, "", silent, time.monotonic)


def save(folder: Path) -> None:
    (folder / "w.npz").write_bytes(b"weights")


def test_the_card_says_what_was_measured_and_everything_else_is_gone(tmp_path: Path) -> None:
    made, folder = job(tmp_path / "s" / "label"), tmp_path / "s"
    (folder / "label").mkdir(parents=True)
    (folder / "label" / "old").touch()
    (folder / "checkpoint").mkdir()
    trained = Trained(
        Yes(),
        "linear",
        "m",
        save,
        1.234,
        count_tokens=len,
        hyperparameters={"lr": 1},
        checkpoint=folder / "checkpoint",
    )
    card = package(trained, made, context(tmp_path))
    assert [p.name for p in folder.iterdir()] == ["label"]
    assert set(card.checksums) == {"w.npz"} and card.ood_detector is None, "too few groups to compare with"
    check_files(folder / "label", card)
    share = sum(x.answer == "yes" for x in made.examples.validation) / len(made.examples.validation)
    assert card.validation_accuracy == pytest.approx(share) and card.train_s == 1.23 and card.cost == 10
    assert card.path == "s/label" and card.seed == 3
    assert card.validation_coverage is None, "too few of them were predicted"
    assert (card.prompt_tokens_after or 0) < (card.prompt_tokens_before or 0)
    assert settings_of(card).training == {"lr": 1, "fingerprint": "mark"}
    assert read_card(folder / "label").trained_on == [] != card.trained_on


def test_with_enough_groups_there_is_a_detector_and_its_power_is_in_the_card(tmp_path: Path) -> None:
    made = job(tmp_path / "label", 300)
    card = package(Trained(Yes(), "linear", "m", save, 0.0), made, context(tmp_path))
    assert card.ood_detector is not None and card.ood_detector.n_groups >= 100
    assert card.ood_detector.flagged_when_changed["instruction added"] > 0.5
    assert settings_of(card).out_of_distribution_p == card.ood_detector.p_value > 0
    assert card.validation_coverage == 0.0, "half of its answers are wrong, and it is equally sure of all"
    assert "out_of_distribution.npz" in card.checksums
    assert read_card(tmp_path / "label").ood_detector == card.ood_detector


def test_what_writes_knows_the_forms_of_train_before_it_is_saved(tmp_path: Path) -> None:
    made, writes = job(tmp_path / "label"), Writes()

    def save_forms(folder: Path) -> None:
        assert writes.known is not None
        save(folder)

    package(Trained(writes, "linear", "m", save_forms, 0.0), made, context(tmp_path))
    assert writes.known is not None
    texts, answers, subjects = writes.known
    assert (texts, answers) == (
        [x.text for x in made.examples.train],
        [x.answer for x in made.examples.train],
    )
    assert subjects == ([x.subject for x in made.examples.train], Convert().min_origins)


def test_what_fails_leaves_the_old_one_in_place(tmp_path: Path) -> None:
    made = job(tmp_path / "label")
    before = package(Trained(Yes(), "linear", "m", save, 0.0), made, context(tmp_path))
    with pytest.raises(OSError, match="no space"):
        package(Trained(Yes(), "linear", "m", Full(), 0.0), made, context(tmp_path))
    check_files(tmp_path / "label", before)


def test_no_more_is_predicted_than_there_is_time_for() -> None:
    texts = ["x"] * 200
    assert len(predict_within(Yes(), texts, 60.0)) == 200
    assert len(predict_within(Yes(0.002), texts, 0.0)) == 8
    assert 8 <= len(predict_within(Yes(0.002), texts, 0.1)) < 100


def test_what_could_be_served_is_told_for_what_a_test_lets_pass() -> None:
    """Twenty of the 280 least sure answers of 1,000 are wrong: all could be served at .02 by hindsight, but no test
    passes that."""
    right_N = np.ones(1000, dtype=bool)
    right_N[720::14] = False
    predicted = Predicted(np.linspace(1.0, 0.5, 1000), right_N)
    assert (~right_N).sum() == 20
    told = servable_share(predicted, 0.02)
    assert told is not None and told < 0.9
    assert coverage_around(predicted.confidence_N, ~right_N, 0.02) >= 0.95, (
        "then no second voter would be trained"
    )
