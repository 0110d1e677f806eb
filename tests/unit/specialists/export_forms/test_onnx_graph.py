"""Graphs, loaded back by onnxruntime; a sentence where the packages are missing."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest
from tests import tiny_specialist

from deputize.core.errors import MissingExtra
from deputize.specialists.base import RawPrediction
from deputize.specialists.export_forms import onnx_graph
from deputize.specialists.export_forms.onnx_graph import ONNX
from deputize.specialists.export_forms.tuned_copy import predictor_around
from deputize.specialists.registry import StoredSpecialist, loader_of
from deputize.specialists.tuned_model import merged_model

HERE = all(importlib.util.find_spec(name) for name in ("onnx", "onnxruntime", "onnxscript"))
needs_packages = pytest.mark.skipif(not HERE, reason="not installed (pip install 'deputize[onnx]')")


def test_without_its_packages_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx_graph, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"deputize\[onnx\]"):
        ONNX.require()


def same(stored: StoredSpecialist, folder: Path, own: list[RawPrediction]) -> None:
    (folder / "out").mkdir()
    assert "log_p_0" in ONNX.write(stored, folder / "out", "f32")
    found = ONNX.load(stored, folder / "out").predictor.predict(tiny_specialist.texts())
    assert [p.answer for p in found] == [p.answer for p in own]
    assert [p.raw_confidence.log_p for p in found] == pytest.approx(
        [p.raw_confidence.log_p for p in own], abs=1e-3
    )


@needs_packages
def test_the_graph_of_a_linear_specialist(tiny: tuple[Path, str], tmp_path: Path) -> None:
    stored = tiny_specialist.make(tiny, tmp_path / "s", "linear")
    same(stored, tmp_path, loader_of("linear")(stored).predict(tiny_specialist.texts()))


@needs_packages
@pytest.mark.slow
def test_the_graph_of_a_tuned_model_with_heads(tiny: tuple[Path, str], tmp_path: Path) -> None:
    stored = tiny_specialist.make(tiny, tmp_path / "s", "head")
    own = predictor_around(stored, merged_model(stored), "", stored.folder)
    same(stored, tmp_path, own.predict(tiny_specialist.texts()))
