"""Processor, cores, memory and accelerators of the machine, as this process may use them."""

from __future__ import annotations

import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from deputize.specialists import hardware

CPUINFO = "processor\t: 0\nmodel name\t: Some CPU @ 2.50GHz\nflags\t\t: fpu avx2 avx512f amx_bf16 amx_tile\n"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A made-up /proc and /sys/fs/cgroup: 8 GB available, no control group."""
    (tmp_path / "proc" / "self").mkdir(parents=True)
    (tmp_path / "cgroup").mkdir()
    (tmp_path / "proc" / "cpuinfo").write_text(CPUINFO)
    (tmp_path / "proc" / "meminfo").write_text("MemTotal: 16000000 kB\nMemAvailable:    8000000 kB\n")
    monkeypatch.setattr(hardware, "_PROC", tmp_path / "proc")
    monkeypatch.setattr(hardware, "_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(hardware, "_machine_bytes", lambda: 16_000_000_000)
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(8)), raising=False)
    return tmp_path


def test_this_machine_is_measured() -> None:
    found = hardware.hardware()
    assert found.n_cores >= 1 and 0 < found.free_gb <= found.memory_gb < 100_000
    assert f"{found.n_cores} cores" in found.sentence


@pytest.mark.skipif(sys.platform != "linux", reason="/proc is Linux's")
def test_features_are_read_from_the_processor(machine: Path) -> None:
    assert hardware.cpu_features() == ["avx2", "avx512", "amx", "amx-bf16"]
    assert hardware.hardware().cpu == "Some CPU @ 2.50GHz"
    (machine / "proc" / "cpuinfo").write_text("Features\t: fp asimd i8mm bf16 sve\n")
    assert hardware.cpu_features() == ["neon", "sve", "i8mm", "bf16"]
    (machine / "proc" / "cpuinfo").unlink()
    assert hardware.cpu_features() == [] and hardware.hardware().cpu


def test_without_a_control_group_the_whole_machine_counts(machine: Path) -> None:
    assert (hardware.memory_gb(), hardware.n_cores()) == (16.0, 8)
    assert hardware.free_memory_gb() == 8.192


def test_the_least_limit_on_the_way_to_the_own_group_counts(machine: Path) -> None:
    (machine / "proc" / "self" / "cgroup").write_text("0::/pod/box\n")
    box = machine / "cgroup" / "pod" / "box"
    box.mkdir(parents=True)
    (box / "memory.max").write_text("max\n")
    assert hardware.memory_gb() == 16.0, "no limit"
    (box.parent / "memory.max").write_text("4000000000\n")
    (box.parent / "memory.current").write_text("3000000000\n")
    (box.parent / "memory.stat").write_text("anon 1\ninactive_file 2500000000\n")
    assert hardware.memory_gb() == 4.0
    assert hardware.free_memory_gb() == 3.5, "page cache can be given up"
    (box.parent / "cpu.max").write_text("250000 100000\n")
    assert hardware.n_cores() == 2


def test_version_one_of_control_groups_is_read_too(machine: Path) -> None:
    (machine / "proc" / "self" / "cgroup").write_text("4:memory:/box\n1:cpu,cpuacct:/box\n")
    box = machine / "cgroup" / "memory" / "box"
    box.mkdir(parents=True)
    (box / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert hardware.memory_gb() == 16.0, "the number that stands for no limit"
    (box / "memory.limit_in_bytes").write_text("2000000000\n")
    (box / "memory.usage_in_bytes").write_text("500000000\n")
    assert (hardware.memory_gb(), hardware.free_memory_gb()) == (2.0, 1.5)
    (machine / "cgroup" / "cpu").mkdir()
    (machine / "cgroup" / "cpu" / "cpu.cfs_quota_us").write_text("50000\n")
    (machine / "cgroup" / "cpu" / "cpu.cfs_period_us").write_text("100000\n")
    assert hardware.n_cores() == 1, "half a core is one"


def test_accelerators_are_those_that_torch_sees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = [8_000_000_000, 24_500_000_000]
    cuda = types.SimpleNamespace(
        is_available=lambda: bool(sizes),
        device_count=lambda: len(sizes),
        get_device_properties=lambda i: types.SimpleNamespace(
            name=f"card {i}", total_memory=sizes[i], major=9, minor=0
        ),
    )
    torch = types.ModuleType("torch")
    torch.__dict__["cuda"] = cuda
    torch.__spec__ = types.SimpleNamespace()  # type: ignore[assignment]
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setattr(hardware, "_DEVICE_NODES", (str(tmp_path / "nvidiactl"),))
    assert hardware.accelerators() == [], "no device node"
    (tmp_path / "nvidiactl").touch()
    found = hardware.hardware()
    assert [a.name for a in found.accelerators] == ["card 0", "card 1"]
    assert found.accelerator_gb == 24.5 and "card 1 with 24 GB" in found.sentence
    sizes.clear()
    assert hardware.accelerators() == []


def test_the_probe_is_cheap_to_import_and_does_not_load_torch() -> None:
    program = (
        "import sys; from deputize.specialists.hardware import hardware\n"
        "hardware(); print('torch' in sys.modules, 'numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    has_device = any(Path(node).exists() for node in hardware._DEVICE_NODES)
    assert done.stdout.split()[1] == "False" and (has_device or done.stdout.split()[0] == "False")
