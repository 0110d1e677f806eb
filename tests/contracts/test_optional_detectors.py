"""The optional detectors, in the environment that `make detectors` builds for them."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_gliner_and_credsweeper_in_their_environment(tmp_path: Path) -> None:
    """gliner wants an older transformers than the rest is tested with. The same tests, by another interpreter."""
    own = ROOT / ".env-detectors"
    ready = str(own / "bin" / "python") if (own / "ready").exists() else ""
    python = os.environ.get("DEPUTIZE_DETECTORS_PYTHON") or ready
    if not python:
        pytest.skip(
            "GLiNER needs an older transformers than ours: `make detectors` puts it into .env-detectors"
        )
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST") and k != "PYTHONPATH"}
    run = subprocess.run(
        [
            python,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            f"--basetemp={tmp_path / 'inner'}",
            "-k",
            "gliner or credsweeper or hub or privacy_filter or registry",
            "tests/contracts/test_detectors.py",
            "tests/unit/privacy/detectors/test_gliner.py",
            "tests/unit/privacy/detectors/test_registry.py",
        ],
        cwd=ROOT,
        env={**inherited, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=1400,
    )
    assert run.returncode == 0, run.stdout[-4000:] + run.stderr[-2000:]
    passed = re.search(r"(\d+) passed", run.stdout)
    assert passed and int(passed[1]) > 60 and "skipped" not in run.stdout, run.stdout[-2000:]
