"""Specialists on workers answer as they do here, with one engine, and only slow ones go there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from tests import tiny_specialist
from tests.other_processes import OtherProcesses

from deputize.core.artifacts import Specialist
from deputize.core.config import EngineSettings
from deputize.core.errors import UsageError
from deputize.home import Home
from deputize.pipeline import asked_workers
from deputize.pipeline.asked_workers import (
    Answers,
    AskedWorkers,
    AsksSpecialists,
    RequestShard,
    asked_on_workers,
)
from deputize.runner.base import NoWorkers
from deputize.specialists.base import engine_of, without_free_text
from deputize.specialists.predictor import SpecialistPredictor, load

Tiny = tuple[Path, str]


def stored(tiny: Tiny, home: Path, kind: str, *, is_fast: bool) -> Specialist:
    path = f"specialists/{kind}"
    card = tiny_specialist.make(tiny, home / path, kind).card
    return msgspec.structs.replace(card, path=path, is_fast=is_fast)


@pytest.fixture
def other(monkeypatch: pytest.MonkeyPatch) -> OtherProcesses:
    runner = OtherProcesses()
    monkeypatch.setattr(asked_workers, "make_runner", lambda settings: runner)
    return runner


def test_slow_specialists_answer_on_workers_as_they_do_here(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, other: OtherProcesses
) -> None:
    monkeypatch.setenv("DEPUTIZE_MODELS", str(tiny[0]))
    slow = stored(tiny, tmp_path, "head", is_fast=False)
    fast = stored(tiny, tmp_path, "linear", is_fast=True)
    requests = tiny_specialist.requests(6)
    with (
        Home(tmp_path) as home,
        asked_on_workers(home, [slow, fast], lambda folder: load(folder, tiny[0])) as found,
    ):
        assert isinstance(found(tmp_path / fast.path), SpecialistPredictor)
        there, here = found(tmp_path / slow.path), load(tmp_path / slow.path, tiny[0])
        assert isinstance(there, AskedWorkers) and other.n_started == 1
        assert engine_of(there) == engine_of(here)
        for asked in (requests, requests[:1], []):
            mine, theirs = here.predict(asked), there.predict(asked)
            assert [(p.answer, p.confidence) for p in theirs] == [(p.answer, p.confidence) for p in mine]
        (short,) = without_free_text(there).predict(requests[:1])
        assert short.answer == here.predict(requests[:1])[0].answer


def test_a_run_of_fast_specialists_starts_no_workers(
    tiny: Tiny, tmp_path: Path, other: OtherProcesses
) -> None:
    fast = stored(tiny, tmp_path, "linear", is_fast=True)
    with Home(tmp_path) as home, asked_on_workers(home, [fast], lambda folder: load(folder, tiny[0])):
        assert other.n_started == 0


def test_answers_of_two_engines_are_no_measurement() -> None:
    engines = iter(("local fp32", "local bf16"))

    class TwoEngines(AsksSpecialists):
        def __call__(self) -> Callable[[RequestShard], Answers]:
            return lambda question: Answers([], next(engines))

    asked = AskedWorkers(NoWorkers(), TwoEngines({}, Path(), EngineSettings()), "specialists/x")
    assert asked.engine == "local fp32"
    with pytest.raises(UsageError, match="different engines"):
        asked.predict(tiny_specialist.requests(1))
