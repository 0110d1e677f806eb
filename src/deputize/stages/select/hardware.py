"""What this machine can hold."""

from __future__ import annotations

import os
from pathlib import Path

_CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def memory_gb() -> float:
    """GB of main memory that a process may use: the machine's, or its container's limit where that is less."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in _CGROUP_LIMITS:
        try:
            text = path.read_text("ascii").strip()
        except OSError:
            continue
        if text.isdigit():
            total = min(total, int(text))
    return total / 1e9


def accelerator_gb() -> float:
    """GB of the largest CUDA device; 0 where there is none, or no torch to see it."""
    try:
        import torch
    except ImportError:
        return 0.0
    if not torch.cuda.is_available():
        return 0.0
    return max(
        float(torch.cuda.get_device_properties(i).total_memory) / 1e9
        for i in range(torch.cuda.device_count())
    )
