"""A specialist in llama.cpp gives the answers and nearly the confidence of its own decoder."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from tests import tiny_model, tiny_specialist

from deputize.core.config import EngineSettings
from deputize.core.errors import BadInput
from deputize.specialists import model_download
from deputize.specialists.export_forms.tuned_copy import predictor_around
from deputize.specialists.predictor import SpecialistPredictor, load, unload
from deputize.specialists.specialist_card import write_card
from deputize.specialists.tuned_model import ADAPTER_FOLDER, merged_model
from deputize.specialists.writing import llama_cpp_engine, llama_cpp_writer
from deputize.specialists.writing.llama_cpp_writer import GGUF_FOLDER, base_file, best_threads

ENGINE = EngineSettings(kind="llamacpp", precision="f32", threads=1)
needs_llama = pytest.mark.usefixtures("llama")


@pytest.fixture(scope="module")
def llama() -> None:
    pytest.importorskip("xllamacpp", reason="xllamacpp is not installed (pip install 'deputize[llamacpp]')")


@needs_llama
@pytest.mark.parametrize("task", ["closed", "values", "action"])
def test_it_answers_like_its_own_decoder(
    tiny: tuple[Path, str], tmp_path: Path, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # with random weights a choice may be anywhere in the vocabulary
    monkeypatch.setattr(llama_cpp_engine, "N_PROBS", 400)
    stored = tiny_specialist.make(tiny, tmp_path / "s", "decoder", task)
    there = load(stored.folder, tiny[0], engine=ENGINE)
    assert there.engine == "llamacpp f32"
    own = SpecialistPredictor(
        stored.card, predictor_around(stored, merged_model(stored), "", stored.folder), stored.settings, None
    )
    requests = tiny_specialist.requests(12, task)
    mine, its = own.predict(requests), there.predict(requests)
    assert {p.engine for p in its} == {"llamacpp f32"}
    same = [(a, b) for a, b in zip(mine, its, strict=True) if a.answer == b.answer]
    # random weights hardly tell the tokens apart, so a rounding may decide
    assert len(same) >= 10
    for a, b in same:
        assert b.confidence == pytest.approx(a.confidence, abs=0.05)
        assert a.n_prompt_tokens == b.n_prompt_tokens
    unload(there)
    with pytest.raises(BadInput, match="let go"):
        there.predict(requests[:1])


@needs_llama
def test_what_no_adapter_file_can_hold_is_merged_and_no_copy_stays(
    tiny: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "scratch"))
    stored = tiny_specialist.make(tiny, tmp_path / "s", "decoder")
    requests = tiny_specialist.requests(4)
    apart = load(stored.folder, tiny[0], engine=ENGINE).predict(requests)
    config = stored.folder / ADAPTER_FOLDER / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"alpha_pattern": {"none": 3}}))
    stored.card.checksums.pop(f"{ADAPTER_FOLDER}/adapter_config.json")
    write_card(stored.folder, stored.card)
    merged = load(stored.folder, tiny[0], engine=ENGINE).predict(requests)
    assert [p.confidence for p in merged] == pytest.approx([p.confidence for p in apart], abs=0.05)
    assert list((tmp_path / "scratch").iterdir()) == []


@needs_llama
def test_the_file_of_a_base_is_made_once_and_threads_are_measured(
    tiny: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored = tiny_specialist.make(tiny, tmp_path / "s", "decoder")
    path = base_file(stored, "f16")
    written = path.stat().st_mtime_ns
    assert path.parent.name == GGUF_FOLDER and base_file(stored, "f16").stat().st_mtime_ns == written
    monkeypatch.setattr(llama_cpp_writer, "_seconds", lambda model, threads: 2.0 if threads == 1 else 1.0)
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1})
    monkeypatch.setattr("os.process_cpu_count", lambda: 2, raising=False)
    monkeypatch.setattr(llama_cpp_writer, "_threads", {})
    assert best_threads(path) == 2


def test_a_model_that_cannot_be_written_is_refused(tiny: tuple[Path, str], tmp_path: Path) -> None:
    source = tiny_model.make(tmp_path / "source")
    config = json.loads((source / "config.json").read_text())
    rope = {"rope_type": "linear", "factor": 2.0, "rope_theta": 10000.0}
    (source / "config.json").write_text(json.dumps(config | {"rope_parameters": rope}))
    model_download.add("stretched", source, tmp_path / "models", licence="apache-2.0")
    stored = tiny_specialist.make(tiny, tmp_path / "s", "decoder")
    card = msgspec.structs.replace(stored.card, model="stretched", base_sha256="")
    write_card(stored.folder, card)
    with pytest.raises(BadInput, match=r"llamacpp cannot answer for closed-decoder: .*stretches"):
        load(stored.folder, tmp_path / "models", engine=ENGINE)
