"""A tiny model, as if fetched."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests import tiny_model


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
