"""Conversion again and again while routes serve: a certificate speaks of the whole traffic, and is true of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests import tiny_model
from tests.integration.pipeline.served_traffic import Letters, Served, Serving

from deputize.core.config import Convert
from deputize.home import Home
from deputize.pipeline.conversion import convert

N_FIRST, N_BETWEEN, AUDITED = 1000, 800, 0.25
N_TRUE = 3000
"""Letters by which the true share and loss are known, to a standard error of .009 and .004."""


def conversions(folder: Path, n_runs: int, seed: int) -> Iterator[tuple[dict[str, Any], Served, Letters]]:
    """(the task in the report, what its route then does, the letters) of each conversion."""
    tiny_model.installed(folder / "models", folder)
    letters, serving = Letters(seed), Serving(folder / "home", AUDITED, seed)
    truth = Letters(seed + 1000)
    calls = [letters.next() for _ in range(N_FIRST)]
    (folder / "home").mkdir()
    (folder / "home" / "config.toml").write_text('[routes]\nstart = "live"\n')
    config = Convert(models=(tiny_model.NAME,), methods=("linear",), epsilon=0.05)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEPUTIZE_MODELS", str(folder / "models"))
        for _ in range(n_runs):
            with Home(folder / "home") as home:
                home.store.append(calls)
                (task,) = convert(home, config)["tasks"]
            truth.drifted = letters.drifted
            yield task, serving.serve(truth, N_TRUE), letters
            calls = serving.serve(letters, N_BETWEEN).calls


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_certificate_is_about_all_calls_and_not_about_what_was_left_over(tmp_path: Path) -> None:
    for task, live, _ in conversions(tmp_path, 5, seed=5):
        assert task["certificate"] is not None, task["refusal_reason"]
        assert task["certificate"]["share_served"] == pytest.approx(live.share, abs=0.06)
        assert task["held_out"]["share_served"] == pytest.approx(live.share, abs=0.1)
        assert live.loss <= 0.05
