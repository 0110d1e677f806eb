"""Engines by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from deputize.core.errors import UsageError
from deputize.specialists.serving.pool import WorkerEngine
from deputize.specialists.serving.registry import make_engine


def test_local_is_a_worker_process_and_an_unknown_one_is_named(tmp_path: Path) -> None:
    assert isinstance(make_engine("local", tmp_path, tmp_path), WorkerEngine)
    with pytest.raises(UsageError, match=r"'vlm' \(\[gateway\] engine\)\. Known: local"):
        make_engine("vlm", tmp_path, tmp_path)
