"""Time and memory of `deputize import` on one large log: JSON lines, one array, one document and gzip. SIMULATED
calls of 3 kB.

python -m benchmarks.import_size --mb 300 --json OUT

Each form is imported as users import it, by the command, into a home of its own; the memory is that process's peak
(maximum resident set size, as the kernel counts it).
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

FORMS = ("lines", "array", "document", "gzip")
WORDS = [
    "order",
    "parcel",
    "refund",
    "invoice",
    "customer",
    "address",
    "payment",
    "delivery",
    "claim",
    "policy",
    "broken",
    "late",
    "blue",
]
SYSTEM = "You are the support agent of a shop. Use the tools. Answer in one sentence. " * 12


def calls(n_bytes: int) -> Iterator[str]:
    """JSON of calls until they are `n_bytes` in all; every one differs."""
    rng = random.Random(0)
    written = number = 0
    while written < n_bytes:
        number += 1
        text = " ".join(rng.choices(WORDS, k=180))
        row: dict[str, Any] = {
            "id": f"c{number}",
            "run_id": f"r{number // 5}",
            "user": f"u{number % 997}",
            "messages": [{"role": "system", "content": SYSTEM}, {"role": "user", "content": text}],
            "response": {"role": "assistant", "content": rng.choice(WORDS)},
            "usage": {"prompt_tokens": 400, "completion_tokens": 1},
            "timestamp": 1760000000 + number,
        }
        line = json.dumps(row)
        written += len(line) + 1
        yield line


def write(form: str, path: Path, n_bytes: int) -> None:
    """A log of one form."""
    opened: IO[str] = gzip.open(path, "wt", compresslevel=1) if form == "gzip" else path.open("w")  # noqa: SIM115
    head, between, tail = {"array": ("[", ",\n", "]"), "document": ('{"data": [', ",", "]}")}.get(
        form, ("", "\n", "\n")
    )
    with opened as file:
        file.write(head)
        for number, line in enumerate(calls(n_bytes)):
            file.write((between if number else "") + line)
        file.write(tail)


def measure(form: str, n_bytes: int) -> dict[str, Any]:
    """Seconds, peak memory and calls of one import."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "log")
        write(form, path, n_bytes)
        command = [
            sys.executable,
            "-m",
            "deputize.cli.main",
            "--home",
            f"{folder}/home",
            "--json",
            "import",
            str(path),
        ]
        began = time.monotonic()
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        took = time.monotonic() - began
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "form": form,
        "seconds": round(took, 1),
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 1),
        "peak_mb": round(used.ru_maxrss / 1024),
        "n_calls": json.loads(done.stdout)["n_calls"],
    }


def main() -> None:
    """Measures each form in a process of its own, so that one's peak is not another's."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--mb", type=int, default=300)
    options.add_argument("--form", choices=FORMS)
    options.add_argument("--json", type=Path)
    given = options.parse_args()
    if given.form:
        print(json.dumps(measure(given.form, given.mb * 10**6)))
        return
    rows = []
    for form in FORMS:
        command = [sys.executable, "-m", "benchmarks.import_size", "--mb", str(given.mb), "--form", form]
        rows.append(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
        print(rows[-1])
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
