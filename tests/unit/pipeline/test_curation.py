"""Which calls are trained on, and what makes a new run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from deputize.core.config import Privacy
from deputize.core.errors import BadInput
from deputize.core.records import Decision
from deputize.home import Home
from deputize.pipeline.curation import learnable, paraphrasing_model, privacy_now
from deputize.testing import call


def test_only_whole_answers_of_the_llm_are_trained_on() -> None:
    good = call("a")
    assert learnable(good) and learnable(msgspec.structs.replace(good, decision=Decision(served_by="llm")))
    wrong: dict[str, Any]
    for wrong in (
        {"decision": Decision(served_by="slm")},
        {"response": {}},
        {"aborted": True},
        {"status": 500},
        {"protocol": "tool"},
    ):
        assert not learnable(msgspec.structs.replace(good, **wrong)), wrong


def test_settings_of_privacy_are_told_apart_without_their_terms(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert privacy_now(home) == {"tagger": "none", "detectors": []}
    home.config_path.write_text('[privacy]\nsensitive = ["heron"]\n')
    first = privacy_now(home)
    home.config_path.write_text('[privacy]\nsensitive = ["egret"]\n')
    assert first != privacy_now(home) and "heron" not in str(first)


def test_a_paraphraser_that_lacks_something_is_said() -> None:
    assert paraphrasing_model(Privacy()) is None
    with pytest.raises(BadInput, match="which model"):
        paraphrasing_model(Privacy(paraphraser={"base_url": "http://localhost:1"}))
    with pytest.raises(BadInput, match=r"\[privacy\] paraphraser"):
        paraphrasing_model(Privacy(paraphraser={"model": "m", "base": "x"}))
