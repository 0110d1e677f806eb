"""Real servers with log-probabilities for tests: a model's weights in llama.cpp, with its API of OpenAI's form."""

from __future__ import annotations

from pathlib import Path

import pytest

from deputize.core.config import TeacherSettings
from deputize.specialists.language_model import LanguageModel
from deputize.specialists.writing.llama_cpp_engine import LlamaCppEngine
from deputize.specialists.writing.llama_gguf import write_gguf

KEY = "TEACHER_KEY"


def serve(
    model: LanguageModel, folder: Path, monkeypatch: pytest.MonkeyPatch, **more: object
) -> TeacherSettings:
    """Serves a model on the loopback interface until the process ends; the settings to ask it with."""
    pytest.importorskip("xllamacpp", reason="xllamacpp is not installed (pip install 'deputize[llamacpp]')")
    path = folder / f"teacher-{len(list(folder.glob('teacher-*')))}.gguf"
    write_gguf(model, path, name="teacher", precision="f32")
    server = LlamaCppEngine(path, context=1024)
    _open.append(server)
    monkeypatch.setenv(KEY, server.key)
    return TeacherSettings.model_validate(
        {"base_url": f"{server.address}/v1", "model": "teacher", "api_key_env": KEY, "at_once": 1, **more}
    )


_open: list[LlamaCppEngine] = []
