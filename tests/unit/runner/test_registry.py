"""The runner is the one that the settings name."""

from __future__ import annotations

from pathlib import Path

import pytest

from deputize.core.config import RunnerSettings
from deputize.core.errors import BadInput
from deputize.home import Home
from deputize.runner.registry import make_runner


def test_the_machine_is_the_default(tmp_path: Path) -> None:
    settings = Home(tmp_path).runner_settings()
    assert settings == RunnerSettings() and make_runner(settings).name == "local"


def test_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[runner]\nkind = "dask"\n')
    with pytest.raises(BadInput, match=r"runner.*kind"):
        Home(tmp_path).runner_settings()
