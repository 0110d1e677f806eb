"""A certificate computed again: what is compared; the whole of it is in
integration/pipeline/test_certified_is_served.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace
from tests.unit.gateway.stubs import live_route

from deputize.core.episode_bet import EpisodeBet
from deputize.core.errors import BadInput
from deputize.core.task_results import CalibrationCall
from deputize.home import Home
from deputize.pipeline.certificate_check import (
    CertificateCheck,
    check_certificate,
    counts_again,
    other_counts,
    other_records,
    summary_of,
)
from deputize.stages.evaluate.evaluation import Evaluation

EQUAL = CertificateCheck(
    route_id="r",
    certificate_id="c",
    run_id="0001",
    n_units=300,
    n_asked=300,
    n_gone=0,
    n_served=270,
    n_errors=1,
    p_value=0.01,
    differences=[],
)


def test_the_route_file_is_compared_with_the_run() -> None:
    route = live_route()
    assert route.certificate is not None
    assert other_records(route, route.certificate) == []
    found = other_records(replace(route, threshold=0.1), replace(route.certificate, epsilon=0.5, n_errors=7))
    assert "epsilon, n_errors" in found[0] and "serves from 0.1" in found[1]


def test_counts_and_p_value_are_compared() -> None:
    certificate = live_route().certificate
    assert certificate is not None
    assert other_counts(replace(certificate, n_served=5, n_errors=1), 5, 1, 0.01) == []
    found = other_counts(replace(certificate, n_served=5, n_errors=1), 6, 1, 0.02)
    assert found == [
        "units served: 6 now, 5 in the certificate",
        "p-value: 0.02 now, 0.01 in the certificate",
    ]


def test_the_result_in_words() -> None:
    assert EQUAL.is_equal and summary_of(EQUAL).startswith("Equal: 1 of 270")
    gone = replace(EQUAL, n_gone=3, p_value=None)
    assert not gone.is_equal and "3 of 300 units have left the store" in summary_of(gone)
    assert summary_of(replace(EQUAL, differences=["a", "b"])) == "Not equal: a; b."


def test_without_a_certificate_or_a_run_there_is_nothing_to_compute(tmp_path: Path) -> None:
    with Home(tmp_path) as home:
        with pytest.raises(BadInput, match="no certificate"):
            check_certificate(home, live_route(certificate=None))
        with pytest.raises(BadInput, match="There is no run"):
            check_certificate(home, live_route(specialist="runs/0009/specialists/x"))


def test_a_certificate_on_whole_episodes_is_counted_by_its_episodes() -> None:
    """Two of 300 calls of 100 episodes are wrong, one was not evaluated in time: it is in episode 7."""
    n = 299
    names, right = [f"c{i}" for i in range(n)], np.arange(n) >= 2
    counts = np.ones(n, dtype=bool)
    again = Evaluation(
        names, names, np.full(n, 0.9), right, right, counts, np.ones(n), np.full(n, np.nan), 1.0
    )
    number = [i for i in range(100) for _ in range(3 if i != 7 else 2)]
    known = [
        CalibrationCall(call_id=c, served=True, right=bool(r), is_unit=True, episode=e)
        for c, r, e in zip(names, right, number, strict=True)
    ]
    bet = EpisodeBet(stake=0.9, start=0.95, largest=3, n_episodes=100, not_evaluated=[7])
    certificate = live_route().certificate
    assert certificate is not None
    certificate = replace(certificate, threshold=0.8, epsilon=0.1, served_limit=None, episodes=bet)
    n_served, n_errors, p = counts_again(certificate, again, known, 0)
    assert (n_served, n_errors) == (300, 3)
    gained = [1 - 0.9 / 0.9 / 3 * (wrong - 0.3) for wrong in (2, 1, *[0] * 98)]
    assert p == pytest.approx(1 / np.prod(gained))
