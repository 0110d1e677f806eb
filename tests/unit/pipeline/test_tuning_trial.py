"""A short training of a tiny random model for the race: it learns, it measures on validation, it leaves nothing behind."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import pytest
from tests import tiny_tasks

from deputize.core.config import Convert
from deputize.core.progress import silent
from deputize.pipeline.tuning_trial import TuningTrial
from deputize.stages.finetune.methods.registry import find_methods


def trial(tiny: tuple[Path, str], home: Path, *methods: str) -> TuningTrial:
    curated, discovered = tiny_tasks.make(("label",), 80)
    config = Convert(models=(tiny[1],), methods=methods)
    return TuningTrial(
        curated, discovered, config, find_methods(methods), home, tiny[0], silent, time.monotonic
    )


def test_a_tiny_model_is_tuned_and_measured(
    tiny: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    accuracy = trial(tiny, tmp_path, "linear", "lora")(tiny[1], tiny_tasks.task("label"), 32, 20.0)
    assert accuracy is not None and 0 <= accuracy <= 1
    assert not list(tmp_path.glob("race-*"))


def test_without_a_method_that_tunes_there_is_no_score(tiny: tuple[Path, str], tmp_path: Path) -> None:
    assert trial(tiny, tmp_path, "linear")(tiny[1], tiny_tasks.task("label"), 32, 5.0) is None
