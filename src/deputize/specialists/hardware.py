"""Hardware of this machine: processor features, cores and memory that this process may use, and accelerators.

Cheap to import. torch is imported only where it is installed and the machine has a device node of an accelerator.
"""

from __future__ import annotations

import importlib.util
import math
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import msgspec

from deputize.core.records import Record

_PROC, _CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")
_DEVICE_NODES = ("/dev/nvidiactl", "/dev/nvmap", "/dev/dxg", "/dev/kfd")
"""Device nodes of NVIDIA cards (also embedded and under WSL) and of AMD cards: without one, torch sees no
accelerator."""
_FEATURES = {
    "avx2": "avx2",
    "avx512f": "avx512",
    "avx512_vnni": "avx512-vnni",
    "avx512_bf16": "avx512-bf16",
    "amx_tile": "amx",
    "amx_bf16": "amx-bf16",
    "amx_int8": "amx-int8",
    "asimd": "neon",
    "sve": "sve",
    "i8mm": "i8mm",
    "bf16": "bf16",
}
"""Flag of the kernel -> name, for the instruction sets that decide how fast a model trains or answers."""


class Accelerator(Record):
    """One device that torch sees."""

    name: str
    memory_gb: float
    capability: str = ""
    """CUDA compute capability, "9.0"."""


class Hardware(Record):
    """The part of this machine that this process may use."""

    cpu: str
    architecture: str
    features: list[str]
    """Instruction sets: avx2, avx512, avx512-vnni, avx512-bf16, amx, amx-bf16, amx-int8, neon, sve, i8mm, bf16."""
    n_cores: int
    """Cores of the process: its affinity, or the quota of its control group where that is less."""
    memory_gb: float
    """Main memory, or the limit of the control group where that is less."""
    free_gb: float
    """The part of it that is not in use; page cache counts as free."""
    accelerators: list[Accelerator] = msgspec.field(default_factory=list)

    @property
    def accelerator_gb(self) -> float:
        """Memory of the largest accelerator; 0 where there is none."""
        return max((a.memory_gb for a in self.accelerators), default=0.0)

    @property
    def sentence(self) -> str:
        """One line for people."""
        sets = ", ".join(self.features) or "no vector instructions known"
        devices = "; ".join(f"{a.name} with {a.memory_gb:.0f} GB" for a in self.accelerators) or "no GPU"
        return f"{self.n_cores} cores ({sets}), {self.memory_gb:.1f} GB of memory of which {self.free_gb:.1f} GB are free, {devices}"


def hardware() -> Hardware:
    """Measures this machine. Never raises: what the system does not tell is empty, or the whole machine."""
    return Hardware(
        cpu=_cpu_name(),
        architecture=platform.machine(),
        features=cpu_features(),
        n_cores=n_cores(),
        memory_gb=round(memory_gb(), 3),
        free_gb=round(free_memory_gb(), 3),
        accelerators=accelerators(),
    )


def cpu_features() -> list[str]:
    """Instruction sets of the processor, by the names of `Hardware.features`."""
    flags = set(_cpuinfo("flags", "Features").split())
    if sys.platform == "darwin":
        said = _sysctl("machdep.cpu.leaf7_features", "hw.optional.arm.FEAT_BF16", "hw.optional.arm.FEAT_I8MM")
        flags |= {word.lower() for word in said.get("machdep.cpu.leaf7_features", "").split()}
        flags |= {"asimd"} if platform.machine() == "arm64" else set()
        flags |= {key.rsplit("_", 1)[1].lower() for key, value in said.items() if value == "1"}
    return [name for flag, name in _FEATURES.items() if flag in flags]


def n_cores() -> int:
    """Cores that this process may use, by its affinity and by the quota of its control group."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for folder in _own_groups("cpu"):
        quota, _, period = _text(folder / "cpu.max").partition(" ")
        if not quota:
            quota, period = _text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")
        if quota.isdigit() and period.isdigit() and int(period):
            allowed = min(allowed, max(1, math.floor(int(quota) / int(period))))
    return allowed


def memory_gb() -> float:
    """GB of main memory that a process may use: the machine's, or its control group's limit where that is less."""
    limits = [limit for limit, _ in _memory_groups()]
    return min([_machine_bytes(), *limits]) / 1e9


def free_memory_gb() -> float:
    """GB of main memory that a process could still take before something is swapped out or killed."""
    found = re.search(r"MemAvailable:\s+(\d+) kB", _text(_PROC / "meminfo"))
    free = int(found.group(1)) * 1024 if found else _machine_bytes()
    return max(0, min([free, *(limit - used for limit, used in _memory_groups())])) / 1e9


def accelerators() -> list[Accelerator]:
    """Devices that torch sees; none where torch is not installed."""
    may_have = sys.platform == "win32" or any(Path(node).exists() for node in _DEVICE_NODES)
    if not may_have or importlib.util.find_spec("torch") is None:
        return []
    try:
        import torch
    except (ImportError, OSError):
        return []
    if not torch.cuda.is_available():
        return []
    found = []
    for at in range(torch.cuda.device_count()):
        about = torch.cuda.get_device_properties(at)
        found.append(
            Accelerator(
                name=about.name,
                memory_gb=round(float(about.total_memory) / 1e9, 1),
                capability=f"{about.major}.{about.minor}",
            )
        )
    return found


def _machine_bytes() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 8 * 10**9  # Windows does not say it here; the least that a laptop has


def _memory_groups() -> list[tuple[int, int]]:
    """(limit, bytes in use without page cache that can be given up) of the process's control groups that have a
    limit."""
    found = []
    for folder in _own_groups("memory"):
        for limit, used in (
            ("memory.max", "memory.current"),
            ("memory.limit_in_bytes", "memory.usage_in_bytes"),
        ):
            most, now = _text(folder / limit), _text(folder / used)
            if most.isdigit() and int(most) < 1 << 60:  # version 1 writes a huge number for no limit
                cached = re.search(r"^(?:total_)?inactive_file (\d+)$", _text(folder / "memory.stat"), re.M)
                in_use = int(now) if now.isdigit() else 0
                found.append((int(most), max(0, in_use - (int(cached.group(1)) if cached else 0))))
    return found


def _own_groups(controller: str) -> list[Path]:
    """Folders of the control groups that hold this process, version 2 and 1, from the top down: each may set a
    limit."""
    folders = [_CGROUPS, _CGROUPS / controller]
    for line in _text(_PROC / "self" / "cgroup").splitlines():
        _, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        if names and controller not in names.split(","):
            continue
        folder = _CGROUPS / controller if names else _CGROUPS
        for part in Path(path.strip()).parts[1:]:
            folder = folder / part
            folders.append(folder)
    return folders


def _cpuinfo(*keys: str) -> str:
    """The value of the first line of /proc/cpuinfo with one of these keys; "" where there is none."""
    for line in _text(_PROC / "cpuinfo").splitlines():
        key, _, value = line.partition(":")
        if key.strip() in keys:
            return value.strip()
    return ""


def _cpu_name() -> str:
    name = _cpuinfo("model name", "Hardware")
    if not name and sys.platform == "darwin":
        name = _sysctl("machdep.cpu.brand_string").get("machdep.cpu.brand_string", "")
    return name or platform.processor() or platform.machine()


def _sysctl(*keys: str) -> dict[str, str]:
    try:
        said = subprocess.run(
            ["sysctl", *keys], capture_output=True, text=True, check=False, timeout=2
        ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return {
        key.strip(): value.strip() for key, _, value in (line.partition(":") for line in said.splitlines())
    }


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8", errors="replace").strip()
    except OSError:
        return ""
