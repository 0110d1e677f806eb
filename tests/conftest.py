"""Models that several folders of tests use, made once per process."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests import tiny_encoder


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny random encoder."""
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    return tiny_encoder.make(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="session")
def tiny_tagger(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tagger that has learnt ticket numbers like 123-45 and little else."""
    import torch

    from deputize.stages.curate.tagger import train_tagger

    path = tmp_path_factory.mktemp("tagger") / "tagger"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    train_tagger(
        tiny_encoder.samples(400, 1), path, base_dir=tiny_base, seed=0, epochs=6, deadline_s=120, learning_rate=3e-3,
        tokens_per_batch=512,
    )  # fmt: skip
    torch.set_num_threads(threads)
    return path
