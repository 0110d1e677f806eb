"""GGUF files: read back by transformers they are the same model; what cannot be written is refused with a reason."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deputize.core.errors import BadInput
from deputize.specialists.catalogue import model_path
from deputize.specialists.export_forms.gguf_file import loaded_gguf
from deputize.specialists.language_model import LanguageModel
from deputize.specialists.prompt_tokenizer import ChatFrame
from deputize.specialists.writing.llama_gguf import chat_template, splitter_of, why_no_gguf, write_gguf


@pytest.mark.parametrize(("precision", "most"), [("f32", 0.0), ("f16", 0.02), ("q8_0", 0.5)])
def test_the_file_is_the_same_model(
    tiny: tuple[Path, str], tmp_path: Path, precision: str, most: float
) -> None:
    import torch

    base = LanguageModel(model_path(tiny[1], tiny[0]), "cpu", "fp32")
    if precision == "q8_0":  # blocks of 32 weights do not fit rows of 48
        with pytest.raises(Exception, match=r"32|shape|multiple"):
            write_gguf(base, tmp_path / "m.gguf", name="m", precision=precision)
        return
    write_gguf(base, tmp_path / "m.gguf", name="m", precision=precision)
    ids = torch.tensor(base.prompt_ids(["the order has not arrived"], 100))
    with torch.inference_mode():
        found = loaded_gguf(base.path, tmp_path / "m.gguf").lm(ids).logits
        assert float((found - base.lm(ids).logits).abs().max()) <= most


def test_other_models_are_refused_with_a_reason(tiny: tuple[Path, str], tmp_path: Path) -> None:
    source = model_path(tiny[1], tiny[0])
    assert why_no_gguf(source) == ""
    config = json.loads((source / "config.json").read_text())
    for change, why in (
        ({"model_type": "gemma3"}, "gemma3"),
        ({"rope_parameters": {"rope_type": "llama3"}}, "stretches"),
    ):
        (tmp_path / "config.json").write_text(json.dumps(config | change))
        (tmp_path / "tokenizer.json").write_text((source / "tokenizer.json").read_text())
        assert why in why_no_gguf(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "tokenizer.json").write_text('{"model": {"type": "Unigram"}}')
    assert "tokenizer" in why_no_gguf(tmp_path)
    assert "readable" in why_no_gguf(tmp_path / "none")
    base = LanguageModel(source, "cpu", "fp32")
    base.path = tmp_path
    with pytest.raises(BadInput, match="tokenizer"):
        write_gguf(base, tmp_path / "m.gguf", name="m", precision="f32")


def test_how_texts_are_cut_has_a_name() -> None:
    byte_level = {"type": "ByteLevel", "use_regex": True}
    assert splitter_of({"pre_tokenizer": byte_level}) == "gpt-2"
    digits = {"type": "Digits", "individual_digits": True}
    assert splitter_of({"pre_tokenizer": {"pretokenizers": [digits, byte_level]}}) == "smollm"
    assert splitter_of({"pre_tokenizer": {"type": "Metaspace"}}) == ""


def test_the_template_puts_a_message_into_the_texts_of_training() -> None:
    import jinja2

    frame = ChatFrame(before="<|a|>user\n", after='<|b|>\n"')
    made = jinja2.Template(chat_template(frame)).render(messages=[{"role": "user", "content": "hello"}])
    assert made == '<|a|>user\nhello<|b|>\n"'
