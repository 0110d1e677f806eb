"""The adapter names the base model, not a folder of this machine, and answers as before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests import tiny_specialist

from deputize.specialists.export_forms.peft_adapter import PEFT
from deputize.specialists.model_cache import MODELS
from deputize.specialists.registry import loader_of
from deputize.specialists.tuned_model import base_folder


@pytest.mark.parametrize("kind", ["decoder", "head"])
def test_it_answers_like_the_specialist(tiny: tuple[Path, str], tmp_path: Path, kind: str) -> None:
    stored = tiny_specialist.make(tiny, tmp_path / "s", kind)
    (tmp_path / "out").mkdir()
    assert "adapter/" in PEFT.write(stored, tmp_path / "out", "as trained")
    config = json.loads((tmp_path / "out" / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == tiny[1]
    loaded = PEFT.load(stored, tmp_path / "out")
    own = loader_of(kind)(stored)
    try:
        assert loaded.predictor.predict(tiny_specialist.texts()) == own.predict(tiny_specialist.texts())
    finally:
        base = MODELS.get(base_folder(stored))
        for name in list(base.peft.peft_config):
            base.drop_adapter(name)
