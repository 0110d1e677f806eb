"""The version stands in one place of the code, and the same in what is published."""

from __future__ import annotations

import tomllib
from pathlib import Path

import yaml

from deputize.core.version import VERSION

ROOT = Path(__file__).resolve().parents[3]


def test_what_is_published_has_the_same_version() -> None:
    assert tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["version"] == VERSION
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))["version"] == VERSION
    chart = yaml.safe_load((ROOT / "deploy/helm/deputize/Chart.yaml").read_text("utf-8"))
    assert chart["appVersion"] == VERSION
