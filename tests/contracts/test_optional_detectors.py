"""The optional detectors, in the environment that `make detectors` builds for them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.other_environment import run_in


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_gliner_and_credsweeper_in_their_environment(tmp_path: Path) -> None:
    """gliner wants an older transformers than the rest is tested with. The same tests, by another interpreter."""
    n_passed, output = run_in(
        "detectors",
        "GLiNER needs an older transformers than ours: `make detectors` puts it into .env-detectors",
        "-k",
        "gliner or credsweeper or hub or privacy_filter or registry",
        "tests/contracts/test_detectors.py",
        "tests/unit/privacy/detectors/test_gliner.py",
        "tests/unit/privacy/detectors/test_registry.py",
        tmp_path=tmp_path,
        timeout=1400,
    )
    assert n_passed > 60 and "skipped" not in output, output[-2000:]
