"""torch, imported when it is first needed, and the device and precision to use."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path
from typing import Any

from deputize.core.errors import MissingExtra


def torch_module() -> Any:
    """torch. Raises MissingExtra where it is not installed."""
    # threads that spin while they wait cost more than they save as soon as anything else runs on the machine
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        import torch
    except ImportError as error:
        raise MissingExtra.package("torch", "train") from error
    return torch


def device_for(asked: str = "") -> str:
    """The device asked for, else that of the environment variable DEPUTIZE_DEVICE, else cuda where there is one, else
    cpu."""
    chosen = asked or os.environ.get("DEPUTIZE_DEVICE", "")
    return chosen or ("cuda" if torch_module().cuda.is_available() else "cpu")


@lru_cache
def has_fast_bf16(device: str) -> bool:
    """True where bf16 multiplies faster than fp32: on CUDA always (Ampere on), on a CPU with AVX512-BF16 or AMX."""
    if device != "cpu":
        return True
    try:
        flags = Path("/proc/cpuinfo").read_text("utf-8", errors="replace")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags
