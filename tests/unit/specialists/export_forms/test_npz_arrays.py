"""The arrays of a linear specialist, read back from the export alone."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests import tiny_specialist

from deputize.specialists.export_forms.npz_arrays import NPZ
from deputize.specialists.registry import loader_of


def test_it_answers_like_the_specialist(tiny: tuple[Path, str], tmp_path: Path) -> None:
    stored = tiny_specialist.make(tiny, tmp_path / "s", "linear")
    own = loader_of("linear")(stored).predict(tiny_specialist.texts())
    (tmp_path / "out").mkdir()
    assert "without torch" in NPZ.write(stored, tmp_path / "out", "as trained")
    shutil.rmtree(stored.folder)
    assert NPZ.load(stored, tmp_path / "out").predictor.predict(tiny_specialist.texts()) == own
