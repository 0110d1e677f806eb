"""Engines by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from deputize.core.config import EngineSettings
from deputize.core.errors import UsageError
from deputize.specialists.serving.pool import WorkerEngine
from deputize.specialists.serving.registry import OURS, make_engine
from deputize.specialists.writing.registry import WRITERS


def test_ours_are_a_worker_process_and_an_unknown_one_is_named(tmp_path: Path) -> None:
    assert {*OURS} == {"local", *WRITERS}
    for kind in OURS:
        settings = EngineSettings(kind=kind, base_url="http://127.0.0.1:1/v1")
        assert isinstance(make_engine(settings, tmp_path, tmp_path), WorkerEngine)
    with pytest.raises(UsageError, match=r"'vlm' \(\[engine\] kind\)\. Known: local, llamacpp, vllm, openai"):
        make_engine(EngineSettings(kind="vlm"), tmp_path, tmp_path)
