"""The Modelfile, and the answers without a grammar."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests import tiny_specialist
from tests.unit.specialists.writing.test_answer_grammar import schema_and_answers

from deputize.specialists.export_forms import ollama_folder
from deputize.specialists.export_forms.gguf_file import GGUF
from deputize.specialists.export_forms.ollama_folder import MODELFILE, OLLAMA, modelfile
from deputize.specialists.prompt_tokenizer import ChatFrame


def test_the_modelfile_frames_a_prompt_as_in_training() -> None:
    frame = ChatFrame(before="<|im_start|>user\n", after="<|im_end|>\n<|im_start|>assistant\n")
    lines = modelfile(frame, schema_and_answers("label")[0], 448, 10)
    assert 'TEMPLATE """<|im_start|>user\n{{ .Prompt }}<|im_end|>\n<|im_start|>assistant\n"""' in lines
    assert "PARAMETER temperature 0\n" in lines and 'PARAMETER stop "\\n"' in lines
    assert "PARAMETER num_ctx 500\nPARAMETER num_predict 52\n" in lines
    assert "stop" not in modelfile(frame, schema_and_answers("values")[0], 448, 10)


def test_what_a_model_writes_freely_is_read_or_is_no_answer(
    tiny: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ollama_folder, "find_spec", lambda name: None)
    stored = tiny_specialist.make(tiny, tmp_path / "s", "decoder", "line")
    (tmp_path / "out").mkdir()
    assert "ollama create" in OLLAMA.write(stored, tmp_path / "out", "f16")
    assert (tmp_path / "out" / MODELFILE).read_text().startswith("FROM ./model.gguf\n")
    loaded = OLLAMA.load(stored, tmp_path / "out")
    # random weights write nonsense, which ends where it may be no longer
    answers = [p.answer for p in loaded.predictor.predict(tiny_specialist.texts(2))]
    assert all(answer is None or (isinstance(answer, str) and "\n" not in answer) for answer in answers)
    assert not loaded.has_confidence and "Ollama itself was not asked" in loaded.engine


@pytest.mark.parametrize("task", ["closed", "values", "label", "action"])
def test_answers_of_several_lines_or_of_a_closed_set_are_not_left_without_a_grammar(
    tiny: tuple[Path, str], tmp_path: Path, task: str
) -> None:
    stored = tiny_specialist.make(tiny, tmp_path / "s", "decoder", task)
    assert not GGUF.refusal(stored) and "take gguf with llama.cpp" in OLLAMA.refusal(stored)
