"""Models are loaded once, and let go of when their time is over."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests import tiny_model

from deputize.core.errors import BadInput
from deputize.specialists.model_cache import ModelCache


def test_a_model_is_loaded_once_per_device_and_precision_until_it_is_forgotten(
    tiny: tuple[Path, str],
) -> None:
    cache, folder = ModelCache(), tiny[0] / tiny[1]
    one = cache.get(folder, "cpu", "fp32")
    assert cache.get(folder, "cpu", "fp32") is one and len(cache) == 1
    assert cache.get(folder, "cpu", "bf16") is not one and len(cache) == 2
    cache.forget(one)
    assert len(cache) == 1 and cache.get(folder, "cpu", "fp32") is not one
    cache.clear()
    assert len(cache) == 0


def test_a_folder_without_a_model_is_bad_input(tmp_path: Path) -> None:
    assert tiny_model.NAME
    cache = ModelCache()
    with pytest.raises(BadInput, match="language model"):
        cache.get(tmp_path, "cpu", "fp32")
    assert len(cache) == 0
