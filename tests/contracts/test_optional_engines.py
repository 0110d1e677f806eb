"""llama.cpp, 4-bit training and ONNX graphs, in the environment that `make engines` builds for their packages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.other_environment import ROOT, run_in

PACKAGES = re.compile(r'"(xllamacpp|bitsandbytes|onnxscript)"|teacher_servers')
"""Named by tests that need one of the extras; teacher_servers starts llama.cpp's server."""
ELSEWHERE = "not (test_methods and not (qlora or real_server)) and not (exports_of_a_real_model and not onnx)"
"""Those of their files that need none are many and slow, and have run in .venv."""


def files_that_need_them() -> list[str]:
    found = [p for p in sorted((ROOT / "tests").rglob("test_*.py")) if PACKAGES.search(p.read_text("utf-8"))]
    return [str(p.relative_to(ROOT)) for p in found if p != Path(__file__).resolve()]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("speed", "n_least"),
    [
        pytest.param("not slow", 40, marks=pytest.mark.timeout(2500), id="tiny models"),
        pytest.param("slow", 5, marks=pytest.mark.timeout(7300), id="a real model"),
    ],
)
def test_extras_in_their_environment(speed: str, n_least: int, tmp_path: Path) -> None:
    n_passed, output = run_in(
        "engines",
        "`make engines` puts xllamacpp, bitsandbytes and onnx into .env-engines",
        "-m",
        speed,
        "-k",
        ELSEWHERE,
        *files_that_need_them(),
        tmp_path=tmp_path,
        timeout=2400 if speed == "not slow" else 7200,
    )
    assert n_passed >= n_least, output[-2000:]
    assert "pip install 'deputize[" not in output, "a package is missing there:\n" + output[-2000:]
