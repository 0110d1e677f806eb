"""What certificates are measured with; whole measurements are in integration/pipeline/test_certified_is_served.py."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests import tiny_specialist

from deputize.core.errors import UsageError
from deputize.home import Home
from deputize.pipeline.certify_on_engine import answer_digest, audit_share_of, serving_loader
from deputize.specialists.base import engine_of
from deputize.specialists.model_cache import MODELS


def test_specialists_are_loaded_for_the_engine_of_the_home(
    tiny: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DEPUTIZE_MODELS", str(tiny[0]))
    stored = tiny_specialist.make(tiny, tmp_path / "specialists" / "one", "decoder")
    with Home(tmp_path) as home:
        with serving_loader(home) as load:
            assert engine_of(load(stored.folder)).startswith("local ")
        assert len(MODELS) == 0, "nothing stays in memory"
        text = '[engine]\nkind = "openai"\nbase_url = "http://127.0.0.1:1/v1"\nserved_precision = "q8_0"\n'
        (tmp_path / "config.toml").write_text(f"{text}\n[gateway]\naudit_share = 0.5\n")
        with serving_loader(home) as load:
            assert engine_of(load(stored.folder)) == "openai q8_0 at http://127.0.0.1:1/v1"
        assert audit_share_of(home) == 0.5
        (tmp_path / "config.toml").write_text('[engine]\nkind = "none-such"\n')
        with pytest.raises(UsageError, match="none-such"), serving_loader(home):
            raise AssertionError("there is none")


def test_digests_tell_answers_apart_and_need_the_key() -> None:
    digest, other = answer_digest(b"a"), answer_digest(b"b")
    assert digest({"a": 1, "b": 2}) == digest({"b": 2, "a": 1}) != digest({"a": 1})
    assert digest("x") != other("x")
