"""A GGUF file, loaded back, answers like the specialist: in transformers here, in llama.cpp where its wheel is
installed."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests import tiny_specialist, tiny_tasks

from deputize.locations import models_path
from deputize.specialists import catalogue
from deputize.specialists.export_forms import gguf_file
from deputize.specialists.export_forms.comparison import compare
from deputize.specialists.export_forms.gguf_file import GGUF, GGUF_FILE, GRAMMAR_FILE
from deputize.specialists.export_forms.ollama_folder import OLLAMA
from deputize.specialists.export_forms.tuned_copy import predictor_around
from deputize.specialists.predictor import load
from deputize.specialists.registry import StoredSpecialist
from deputize.specialists.tuned_model import merged_model
from deputize.specialists.writing.llama_cpp_engine import LlamaCppEngine

SMALL = "SmolLM2-135M-Instruct"


def test_it_answers_like_the_specialist(
    tiny: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gguf_file, "find_spec", lambda name: None)
    stored = tiny_specialist.make(tiny, tmp_path / "s", "decoder")
    (tmp_path / "out").mkdir()
    assert "llama-server" in GGUF.write(stored, tmp_path / "out", "f32")
    assert (tmp_path / "out" / GRAMMAR_FILE).read_text().startswith("root ::=")
    loaded = GGUF.load(stored, tmp_path / "out")
    own = predictor_around(stored, merged_model(stored), "", stored.folder)
    assert loaded.has_confidence and "llama.cpp was not asked" in loaded.engine
    assert loaded.predictor.predict(tiny_specialist.texts()) == own.predict(tiny_specialist.texts())


def test_llama_cpp_writes_what_the_model_writes_and_keeps_the_schema(
    tiny: tuple[Path, str], tmp_path: Path
) -> None:
    pytest.importorskip("xllamacpp", reason="xllamacpp is not installed (pip install 'deputize[llamacpp]')")
    import torch

    stored = tiny_specialist.make(tiny, tmp_path / "s", "decoder")
    (tmp_path / "out").mkdir()
    GGUF.write(stored, tmp_path / "out", "f32")
    loaded = GGUF.load(stored, tmp_path / "out")
    own = predictor_around(stored, merged_model(stored), "", stored.folder)
    mine, its = (p.predict(tiny_specialist.texts()) for p in (own, loaded.predictor))
    assert not loaded.has_confidence
    # to a rounding of the scores, which random weights hardly tell apart
    assert sum(a.answer == b.answer for a, b in zip(mine, its, strict=True)) >= 11
    model = merged_model(stored)
    (ids,) = model.prompt_ids(tiny_specialist.texts(1), 200)
    out = model.lm.generate(torch.tensor([ids]), max_new_tokens=12, do_sample=False, pad_token_id=model.pad)
    wanted = model.tokenizer.decode(out[0][len(ids) :])
    engine = LlamaCppEngine(tmp_path / "out" / GGUF_FILE, context=300)
    assert engine.write(ids, grammar="", most=12) == wanted


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.timeout(1500)
def test_a_real_model_answers_alike_in_llama_cpp(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp", reason="xllamacpp is not installed (pip install 'deputize[llamacpp]')")
    if not catalogue.is_fetched(SMALL, models_path()):
        pytest.skip(f"{SMALL} is not fetched: deputize models fetch {SMALL}")
    made = tiny_tasks.train(tmp_path, models_path(), SMALL, ("values",), n=60, minutes=5.0).specialists[0]
    assert made.kind == "decoder"
    own = load(tmp_path / made.path, models_path())
    stored = StoredSpecialist(tmp_path / made.path, made, own.settings, models_path())
    requests = tiny_specialist.requests(20, "values")
    for form, precision in ((GGUF, "f16"), (GGUF, "q8_0"), (OLLAMA, "f16")):
        folder = tmp_path / f"{form.name}-{precision}"
        folder.mkdir()
        form.write(stored, folder, precision)
        found = compare(own, form.load(stored, folder), requests, 0.5, f"{precision}, calls not trained on")
        size = (folder / GGUF_FILE).stat().st_size / 1e6
        print(f"{form.name} {precision} {size:.0f} MB: {found.sentence}")  # noqa: T201 - figures for docs/results.md
        assert found.n == 20 and (form is OLLAMA or found.n_agreeing >= 15)
