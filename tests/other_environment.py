"""Tests run by the interpreter of another environment, for packages that do not fit beside ours."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


def run_in(name: str, why: str, *words: str, tmp_path: Path, timeout: float) -> tuple[int, str]:
    """Runs pytest in .env-NAME, or by the interpreter that DEPUTIZE_NAME_PYTHON names; skips the test where there is
    neither.

    Args:
        name: of the environment, which `make NAME` builds.
        why: said where it is missing.
        words: for pytest.
        tmp_path: for the temporary folders of those tests.
        timeout: seconds.

    Returns:
        (tests passed, the output); a run that fails fails the test.
    """
    own = ROOT / f".env-{name}"
    ready = str(own / "bin" / "python") if (own / "ready").exists() else ""
    python = os.environ.get(f"DEPUTIZE_{name.upper()}_PYTHON") or ready
    if not python:
        pytest.skip(why)
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST") and k != "PYTHONPATH"}
    run = subprocess.run(
        [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'inner'}", *words],
        cwd=ROOT,
        env={**inherited, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}"},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]
    passed = re.search(r"(\d+) passed", run.stdout)
    return int(passed[1]) if passed else 0, run.stdout
