"""Conversion again and again while routes serve: a certificate speaks of the whole traffic, and is true of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests import tiny_model
from tests.integration.pipeline.served_traffic import Letters, Served, Serving

from deputize.core.config import Convert
from deputize.core.records import Certificate
from deputize.home import Home
from deputize.pipeline.conversion import convert
from deputize.routes_file import read_routes

AUDITED = 0.25


class Conversion(NamedTuple):
    """One conversion and what its routes then do."""

    task: dict[str, Any]
    """In the report."""
    in_force: Certificate | None
    """The certificate of the route that serves: of this run, or an earlier one that it kept."""
    live: Served
    """What is true of the route."""
    letters: Letters


def conversions(
    folder: Path, n_runs: int, seed: int, *, n_first: int, n_between: int, n_true: int
) -> Iterator[Conversion]:
    """Each conversion in turn.

    Args:
        folder: for the home and the models.
        n_runs: conversions.
        seed: of the letters.
        n_first: letters before the first.
        n_between: letters between two.
        n_true: letters by which the true share and loss are known: 3,000 to a standard error of .009 and .004.
    """
    tiny_model.installed(folder / "models", folder)
    letters, serving = Letters(seed), Serving(folder / "home", AUDITED, seed)
    truth = Letters(seed + 1000)
    calls = [letters.next() for _ in range(n_first)]
    (folder / "home").mkdir()
    (folder / "home" / "config.toml").write_text('[routes]\nstart = "live"\n')
    config = Convert(models=(tiny_model.NAME,), methods=("linear",), epsilon=0.05)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DEPUTIZE_MODELS", str(folder / "models"))
        for _ in range(n_runs):
            with Home(folder / "home") as home:
                home.store.append(calls)
                (task,) = convert(home, config)["tasks"]
            routes = read_routes(folder / "home" / "routes.json").routes
            truth.drifted = letters.drifted
            in_force = routes[0].certificate if routes else None
            yield Conversion(task, in_force, serving.serve(truth, n_true), letters)
            calls = serving.serve(letters, n_between).calls


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_the_certificate_is_about_all_calls_and_not_about_what_was_left_over(tmp_path: Path) -> None:
    """A later specialist may be refused (one gave a planted secret away); then the earlier route goes on as it is."""
    n_certified = 0
    for one in conversions(tmp_path, 5, seed=5, n_first=1000, n_between=800, n_true=3000):
        n_certified += one.task["certificate"] is not None
        assert one.in_force is not None, one.task["refusal_reason"]
        assert one.in_force.share_served == pytest.approx(one.live.share, abs=0.06)
        assert one.live.loss <= 0.05
        if one.task["certificate"] is not None:
            assert one.task["held_out"]["share_served"] == pytest.approx(one.live.share, abs=0.1)
    assert n_certified >= 4


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_no_route_is_false_after_a_drift_once_the_log_shows_it(tmp_path: Path) -> None:
    """After the first conversion the LLM answers otherwise; the first route is closed by its audits, later claims hold."""
    losses, closed = [], []
    for one in conversions(tmp_path, 5, seed=5, n_first=1000, n_between=800, n_true=3000):
        if one.letters.drifted:
            losses.append(one.live.loss)
        closed.append(one.in_force is None)
        one.letters.drifted = True
    assert len(losses) == 4 and max(losses) <= 0.05, losses
    assert closed[1] and not all(closed[1:]), "the first route is closed, and a later one serves"
