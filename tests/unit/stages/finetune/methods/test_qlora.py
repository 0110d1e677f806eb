"""QLoRA where it cannot run: a sentence with the line to install, before anything is loaded."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from deputize.core.errors import MissingExtra
from deputize.stages.finetune.methods.qlora import QLORA


@pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is not None, reason="bitsandbytes is installed")
def test_without_its_package_it_says_what_to_install(tmp_path: Path) -> None:
    for ask in (QLORA.require, lambda: QLORA.load_base(tmp_path)):
        with pytest.raises(MissingExtra, match="pip install bitsandbytes"):
            ask()


def test_without_a_gpu_it_names_another_method(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    (tmp_path / "bitsandbytes.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(MissingExtra, match=r"CUDA device.*lora instead"):
        QLORA.require()
