"""What writes for a specialist, by the kind of the engine."""

from __future__ import annotations

from deputize.core.config import EngineSettings
from deputize.specialists.writing.registry import WRITERS, writes_elsewhere


def test_only_decoders_are_written_elsewhere_and_only_by_ours() -> None:
    for kind in WRITERS:
        engine = EngineSettings(kind=kind, base_url="http://127.0.0.1:1/v1")
        assert writes_elsewhere("decoder", engine)
        assert not any(writes_elsewhere(other, engine) for other in ("linear", "head", "cascade", "states"))
    assert not writes_elsewhere("decoder", EngineSettings())
    assert not writes_elsewhere("decoder", EngineSettings(kind="in-process"))
