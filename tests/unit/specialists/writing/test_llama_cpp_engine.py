"""llama.cpp in this process: without its wheel a sentence with the line to install."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from deputize.core.errors import BadInput, MissingExtra
from deputize.specialists.catalogue import model_path
from deputize.specialists.language_model import LanguageModel
from deputize.specialists.writing.llama_cpp_engine import LlamaCppEngine
from deputize.specialists.writing.llama_gguf import write_gguf

HERE = importlib.util.find_spec("xllamacpp") is not None


def test_without_its_wheel_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xllamacpp", None)
    with pytest.raises(MissingExtra, match=r"deputize\[llamacpp\]"):
        LlamaCppEngine(tmp_path / "m.gguf", context=64)


@pytest.mark.skipif(not HERE, reason="xllamacpp is not installed (pip install 'deputize[llamacpp]')")
def test_it_writes_within_a_grammar_and_to_a_stop(tiny: tuple[Path, str], tmp_path: Path) -> None:
    base = LanguageModel(model_path(tiny[1], tiny[0]), "cpu", "fp32")
    write_gguf(base, tmp_path / "m.gguf", name="m", precision="f32")
    engine = LlamaCppEngine(tmp_path / "m.gguf", context=200)
    (ids,) = base.prompt_ids(["the order has not arrived"], 100)
    grammar = 'root ::= " " ("yes" | "no") "\\n"'
    assert engine.write(ids, grammar=grammar, most=20) in (" yes\n", " no\n")
    free = engine.write(ids, grammar="", most=6)
    assert free and engine.write(ids, grammar="", most=6, stop=free[0]) == ""
    (tmp_path / "no.gguf").write_bytes(b"GGUF nothing")
    with pytest.raises(BadInput, match="cannot load"):
        LlamaCppEngine(tmp_path / "no.gguf", context=64)
