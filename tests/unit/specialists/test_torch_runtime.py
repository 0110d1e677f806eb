"""The device to compute on."""

from __future__ import annotations

import pytest

from deputize.specialists.torch_runtime import device_for, has_fast_bf16, torch_module


def test_what_is_asked_for_comes_before_the_environment_and_that_before_the_best(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torch = pytest.importorskip("torch")
    monkeypatch.delenv("DEPUTIZE_DEVICE", raising=False)
    assert device_for() == ("cuda" if torch.cuda.is_available() else "cpu")
    monkeypatch.setenv("DEPUTIZE_DEVICE", "meta")
    assert device_for() == "meta" and device_for("cpu") == "cpu"
    assert torch_module() is torch


def test_bf16_is_fast_on_a_gpu() -> None:
    assert has_fast_bf16("cuda") and isinstance(has_fast_bf16("cpu"), bool)
