"""Headers of GGUF files, whole and damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from deputize.core.errors import BadInput
from deputize.specialists.catalogue import sha256_of
from deputize.specialists.gguf_header import read_gguf_header


def a_gguf(path: Path, architecture: str = "llama") -> Path:
    """A file with a header, and an embedding of 10 x 8."""
    gguf = pytest.importorskip("gguf")
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_context_length(64)
    writer.add_block_count(2)
    writer.add_embedding_length(8)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_token_list(["a", "b"])
    writer.add_tensor("token_embd.weight", np.zeros((10, 8), dtype=np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def test_a_header_says_what_the_file_holds(tmp_path: Path) -> None:
    found = read_gguf_header(a_gguf(tmp_path / "m.gguf"))
    assert (found.architecture, found.quantisation, found.file) == ("llama", "F16", "m.gguf")
    assert (found.context, found.layers, found.hidden, found.heads, found.kv_heads, found.vocab) == (
        64,
        2,
        8,
        2,
        1,
        10,
    )
    assert found.params_m == pytest.approx(80 / 1e6, abs=1e-9) and found.intermediate == 0
    assert found.sha256 == sha256_of(tmp_path / "m.gguf")


def test_what_is_no_gguf_and_what_is_cut_off_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="cannot be read"):
        read_gguf_header(tmp_path / "absent.gguf")
    (tmp_path / "text.gguf").write_text("not a model")
    with pytest.raises(BadInput, match="does not begin with GGUF"):
        read_gguf_header(tmp_path / "text.gguf")
    whole = a_gguf(tmp_path / "whole.gguf").read_bytes()
    for n in (6, 20, 60, len(whole) // 2):
        (tmp_path / "cut.gguf").write_bytes(whole[:n])
        with pytest.raises(BadInput, match="damaged"):
            read_gguf_header(tmp_path / "cut.gguf")
