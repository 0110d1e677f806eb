"""A merged model, loaded back from its folder, answers like base and adapter."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests import tiny_specialist

from deputize.specialists.export_forms.merged_weights import MERGED
from deputize.specialists.export_forms.tuned_copy import predictor_around
from deputize.specialists.tuned_model import merged_model


@pytest.mark.parametrize("kind", ["decoder", "head"])
def test_it_answers_like_the_specialist(tiny: tuple[Path, str], tmp_path: Path, kind: str) -> None:
    stored = tiny_specialist.make(tiny, tmp_path / "s", kind)
    (tmp_path / "out").mkdir()
    assert "model/" in MERGED.write(stored, tmp_path / "out", "f32")
    assert (tmp_path / "out" / "model" / "model.safetensors").is_file()
    own = predictor_around(stored, merged_model(stored), "", stored.folder)
    found = MERGED.load(stored, tmp_path / "out").predictor.predict(tiny_specialist.texts())
    assert found == own.predict(tiny_specialist.texts())
