"""Ids on the command line by their beginnings."""

from __future__ import annotations

from pathlib import Path

import pytest

from deputize.cli.ids import whole_id, whole_run_id
from deputize.core.errors import BadInput
from deputize.home import Home

KNOWN = ["route-abc", "route-abd", "route-x", "x-route"]


@pytest.mark.parametrize(
    ("given", "id"),
    [("route-abc", "route-abc"), ("route-abd", "route-abd"), ("abc", "route-abc"), ("x-", "x-route")],
)
def test_a_beginning_that_one_has(given: str, id: str) -> None:
    assert whole_id(given, KNOWN, "route") == id


@pytest.mark.parametrize(
    ("given", "why"), [("ab", "more than one"), ("route", "more than one"), ("y", "no route"), ("", "no")]
)
def test_none_or_several(given: str, why: str) -> None:
    with pytest.raises(BadInput, match=why):
        whole_id(given, KNOWN, "route")


def test_an_exact_id_is_never_ambiguous() -> None:
    assert whole_id("a", ["a", "ab"], "task") == "a"


def test_runs(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert whole_run_id(home, None) is None
    for name in ("0001-abc", "0002-abc"):
        (home.runs_path / name).mkdir(parents=True)
    assert whole_run_id(home, "0002") == "0002-abc"
    with pytest.raises(BadInput, match="more than one run"):
        whole_run_id(home, "000")
