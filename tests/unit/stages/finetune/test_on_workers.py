"""Specialists that workers train are those that this process trains, file by file, and lie where they belong."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from tests import tiny_tasks
from tests.other_processes import OtherProcesses

from deputize.core.artifacts import Finetuned, Specialist
from deputize.specialists.predictor import load
from deputize.stages.finetune import on_workers

Tiny = tuple[Path, str]
CARD_FILE = "specialist.json"
KINDS = ("label", "action")


def told(specialist: Specialist) -> Specialist:
    """A card without what was measured by the clock."""
    settings = {name: value for name, value in specialist.settings.items() if name != "training"}
    leak = specialist.leak and msgspec.structs.replace(specialist.leak, seconds=0.0)
    return msgspec.structs.replace(specialist, train_s=0.0, tokens_per_s=None, settings=settings, leak=leak)


def files(home: Path, found: Finetuned) -> dict[str, bytes]:
    """What the specialists are made of; the card has measured times in it."""
    return {
        f"{one.path}/{path.name}": path.read_bytes()
        for one in found.specialists
        for path in sorted((home / one.path).iterdir())
        if path.name != CARD_FILE
    }


def test_workers_train_the_same_specialists_bit_for_bit(tiny: Tiny, tmp_path: Path) -> None:
    here = tiny_tasks.train(tmp_path / "here", *tiny, KINDS, ("linear",), n=60)
    runner = OtherProcesses()
    there = tiny_tasks.train(tmp_path / "there", *tiny, KINDS, ("linear",), n=60, runner=runner)
    assert runner.n_started == 1
    assert [told(one) for one in there.specialists] == [told(one) for one in here.specialists]
    written = [msgspec.json.encode((one.task, one.contract)) for one in there.specialists]
    assert written == [msgspec.json.encode((one.task, one.contract)) for one in here.specialists]
    assert files(tmp_path / "there", there) == files(tmp_path / "here", here) != {}
    request = tiny_tasks.example("label", 9, "test").request
    (answer,) = load(tmp_path / "there" / there.specialists[0].path, tiny[0]).predict([request])
    assert answer.answer is not None
    assert not list((tmp_path / "there").rglob("*.new"))


def test_what_is_finished_is_not_trained_again(tiny: Tiny, tmp_path: Path) -> None:
    tiny_tasks.train(tmp_path, *tiny, KINDS[:1], ("linear",), n=60)
    card = tmp_path / "specialists" / "label-linear" / CARD_FILE
    written = card.stat().st_mtime_ns
    found = tiny_tasks.train(tmp_path, *tiny, (*KINDS, "closed"), ("linear",), n=60, runner=OtherProcesses())
    assert len(found.specialists) == 3 and card.stat().st_mtime_ns == written


def test_few_examples_and_base_models_are_no_work_for_further_processes_of_this_machine(tiny: Tiny) -> None:
    class Here(OtherProcesses):
        is_here = True

    assert on_workers.MIN_EXAMPLES_HERE > 1000
    runner = Here()
    home = tiny[0].parent / "few"
    tiny_tasks.train(home, *tiny, KINDS, ("linear",), n=60, runner=runner)
    assert runner.n_started == 0


@pytest.mark.slow
def test_workers_tune_base_models_and_put_cascades_together(tiny: Tiny, tmp_path: Path) -> None:
    kinds, methods = ("label", "closed", "line"), ("linear", "lora")
    here = tiny_tasks.train(tmp_path / "here", *tiny, kinds, methods, n=40)
    runner = OtherProcesses()
    there = tiny_tasks.train(tmp_path / "there", *tiny, kinds, methods, n=40, runner=runner)
    assert runner.n_started == 2
    assert {s.id for s in there.specialists} == {s.id for s in here.specialists}
    assert "label-linear+lora" in {s.id for s in there.specialists}
    for one in there.specialists:
        request = tiny_tasks.example(one.task_id, 9, "test").request
        assert load(tmp_path / "there" / one.path, tiny[0]).predict([request])
