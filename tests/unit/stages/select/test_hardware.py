"""Memory of the machine and of its accelerators."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deputize.stages.select import hardware

FAKE_TORCH = """
from types import SimpleNamespace

SIZES = {sizes}

class cuda:
    is_available = staticmethod(lambda: bool(SIZES))
    device_count = staticmethod(lambda: len(SIZES))
    get_device_properties = staticmethod(lambda i: SimpleNamespace(total_memory=SIZES[i]))
"""


def test_main_memory_is_measured() -> None:
    assert 0.1 < hardware.memory_gb() < 100_000


@pytest.mark.parametrize(
    ("torch", "gigabytes"),
    [
        (FAKE_TORCH.format(sizes=[8_000_000_000, 24_500_000_000, 16_000_000_000]), 24.5),
        (FAKE_TORCH.format(sizes=[]), 0.0),
        ("raise ImportError", 0.0),
    ],
    ids=["the largest of three devices", "no device", "no torch"],
)
def test_accelerator_memory_is_that_of_the_largest_device(
    torch: str, gigabytes: float, tmp_path: Path
) -> None:
    (tmp_path / "torch.py").write_text(torch)
    program = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r})\n"
        "from deputize.stages.select.hardware import accelerator_gb; print(accelerator_gb())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert float(done.stdout) == gigabytes


def test_the_least_limit_of_a_container_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    limits = (tmp_path / "v2", tmp_path / "v1")
    monkeypatch.setattr(hardware, "_CGROUP_LIMITS", limits)
    assert hardware.memory_gb() == whole, "no container"
    limits[0].write_text("max\n")
    assert hardware.memory_gb() == whole, "no limit"
    limits[1].write_text("123000000\n")
    assert hardware.memory_gb() == 0.123
