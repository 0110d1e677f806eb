"""An adapter as a GGUF file: in llama.cpp, base and adapter write what the merged model writes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests import tiny_specialist

from deputize.core.errors import BadInput
from deputize.specialists.language_model import LanguageModel
from deputize.specialists.tuned_model import ADAPTER_FOLDER, base_folder, merged_model
from deputize.specialists.writing.llama_adapter import why_no_adapter_file, write_adapter
from deputize.specialists.writing.llama_cpp_engine import LlamaCppEngine
from deputize.specialists.writing.llama_gguf import write_gguf


@pytest.mark.parametrize("rank_stabilised", [False, True])
def test_base_and_adapter_write_what_the_merged_model_writes(
    tiny: tuple[Path, str], tmp_path: Path, rank_stabilised: bool
) -> None:
    pytest.importorskip("xllamacpp", reason="xllamacpp is not installed (pip install 'deputize[llamacpp]')")
    stored = tiny_specialist.make(tiny, tmp_path / "s", "decoder")
    config = stored.folder / ADAPTER_FOLDER / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"use_rslora": rank_stabilised}))
    base, merged = LanguageModel(base_folder(stored), "cpu", "fp32"), merged_model(stored)
    write_gguf(base, tmp_path / "base.gguf", name="b", precision="f32")
    write_gguf(merged, tmp_path / "merged.gguf", name="m", precision="f32")
    write_adapter(stored.folder / ADAPTER_FOLDER, base_folder(stored), tmp_path / "a.gguf")
    prompts = base.prompt_ids(tiny_specialist.texts(4), 200)
    bare, whole, apart = (
        LlamaCppEngine(tmp_path / name, context=300, adapter=adapter)
        for name, adapter in (
            ("base.gguf", None),
            ("merged.gguf", None),
            ("base.gguf", tmp_path / "a.gguf"),
        )
    )
    logs = [
        [[t.log_p for t in engine.write_tokens(p, grammar="", most=6)] for p in prompts]
        for engine in (whole, apart)
    ]
    for one, other in zip(*logs, strict=True):
        assert other == pytest.approx(one, abs=0.02)
    texts = [[engine.write(p, grammar="", most=6) for p in prompts] for engine in (bare, whole, apart)]
    assert texts[1] == texts[2] and texts[0] != texts[2]


def test_what_llama_cpp_cannot_apply_is_refused(tiny: tuple[Path, str], tmp_path: Path) -> None:
    stored = tiny_specialist.make(tiny, tmp_path / "s", "decoder")
    adapter = stored.folder / ADAPTER_FOLDER
    assert why_no_adapter_file(adapter) == ""
    config = json.loads((adapter / "adapter_config.json").read_text())
    for change, why in (
        ({"use_dora": True}, "DoRA"),
        ({"rank_pattern": {"q_proj": 2}}, "ranks"),
        ({"modules_to_save": ["lm_head"]}, "replaces"),
    ):
        (adapter / "adapter_config.json").write_text(json.dumps(config | change))
        assert why in why_no_adapter_file(adapter)
        with pytest.raises(BadInput, match=why):
            write_adapter(adapter, base_folder(stored), tmp_path / "a.gguf")
    with pytest.raises(BadInput, match="holds no adapter"):
        why_no_adapter_file(tmp_path)
