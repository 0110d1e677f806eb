"""Models that several folders of tests use, made once per process."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
from tests import tiny_encoder, tiny_gliner, tiny_model


def pytest_configure() -> None:
    """A shell lets what it starts in the background ignore ctrl-c, and so do the processes that tests stop by it."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes are named by their argument: two processes that compress the same text give it two times of day."""
    return argname if isinstance(val, bytes) else None


@pytest.fixture
def without_bitsandbytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a machine where it is not installed."""
    from deputize.specialists import language_model

    monkeypatch.setattr(
        language_model, "find_spec", lambda name: None if name == "bitsandbytes" else find_spec(name)
    )


@pytest.fixture(scope="session")
def tiny_base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tiny random encoder."""
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    return tiny_encoder.make(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="session")
def tiny_tagger(tiny_base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tagger trained on ticket numbers like 123-45 and little else."""
    import torch

    from deputize.privacy.tagger import TaggerTrainingSettings, train_tagger

    path = tmp_path_factory.mktemp("tagger") / "tagger"
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    train_tagger(
        tiny_encoder.samples(400, 1),
        path,
        base_dir=tiny_base,
        settings=TaggerTrainingSettings(
            seed=0, epochs=6, deadline_s=120, learning_rate=3e-3, tokens_per_batch=512
        ),
    )
    torch.set_num_threads(threads)
    return path


@pytest.fixture(scope="session")
def gliner_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A real GLiNER trained on ticket numbers, as a folder: gliner lives in an environment of its own (`make
    detectors`)."""
    pytest.importorskip(
        "gliner", reason="gliner asks for an older transformers than ours: see `make detectors`"
    )
    from deputize.privacy.detectors.gliner import LABELS

    folder = tmp_path_factory.mktemp("gliner")
    tiny_gliner.trained(folder / "encoder", list(LABELS)).save_pretrained(
        folder / "model", safe_serialization=True
    )
    return folder / "model"


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """(models_dir, name) of the tiny model."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("transformers")
    pytest.importorskip("peft")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("models")
    name = tiny_model.installed(folder / "models", folder)
    yield folder / "models", name
    torch.set_num_threads(before)
