"""What every benchmark prints: the machine, a table, and the same as JSON."""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

QUIET_LOAD = 0.5
"""Load average at the start below which a machine counts as quiet."""
_LOAD_AT_START = os.getloadavg()[0]


def arguments(description: str) -> argparse.ArgumentParser:
    """A parser with the options that all benchmarks share."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", type=Path, default=None, help="also write every figure to this file")
    parser.add_argument("--seed", type=int, default=0)
    return parser


def machine() -> dict[str, Any]:
    """The machine a figure was measured on."""
    cpu = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            line.split(":", 1)[1].strip()
            for line in info.read_text().splitlines()
            if line.startswith("model name")
        ]
        cpu = names[0] if names else cpu
    return {
        "cpu": cpu,
        "n_cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "python": platform.python_version(),
        "date": time.strftime("%Y-%m-%d"),
        "load_at_start": round(_LOAD_AT_START, 2),
        "quiet": _LOAD_AT_START < QUIET_LOAD,
    }


def show(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Prints rows as a plain table; columns are the keys of the first row."""
    if not rows:
        print(f"{title}: nothing was measured")
        return
    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [[_text(row.get(c)) for c in columns] for row in rows]
    widths = [max(len(c), *(len(row[i]) for row in cells)) for i, c in enumerate(columns)]
    print(f"\n{title}")
    for row in (columns, ["-" * w for w in widths], *cells):
        print("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return str(value)


def save(path: Path | None, name: str, result: Mapping[str, Any]) -> None:
    """Prints the machine and writes everything as one JSON document."""
    about = machine()
    print("\n" + ", ".join(f"{k} {v}" for k, v in about.items()))
    if not about["quiet"]:
        print(
            f"NOT A QUIET MACHINE: load {about['load_at_start']} when this began. Rates and latencies are those of a shared"
            " machine; only ratios within this run mean anything."
        )
    if path is not None:
        path.write_text(json.dumps({"benchmark": name, "machine": about, **result}, indent=2) + "\n")
        print(f"written to {path}")
