"""An engine as a predictor: the answers of the engine, and its errors."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import structs
from tests import tiny_specialist
from tests.a_users_engine import InProcessEngine

from deputize.core.errors import BadInput, UpstreamError
from deputize.core.records import Prediction, Request
from deputize.specialists.predictor import load
from deputize.specialists.serving.engine_predictor import AskedEngine
from deputize.testing import check_predictor

Tiny = tuple[Path, str]


class Named(InProcessEngine):
    """Another engine than ours."""

    async def predict(self, specialist_path: str, request: Request, timeout_s: float) -> Prediction:
        found = await super().predict(specialist_path, request, timeout_s)
        return structs.replace(found, engine="named f32")


class NotThere(InProcessEngine):
    async def start(self) -> None:
        raise UpstreamError("it is not there")


def test_it_answers_as_the_engine_does(tiny: Tiny, tmp_path: Path) -> None:
    tiny_specialist.make(tiny, tmp_path / "specialists" / "one", "linear")
    requests = tiny_specialist.requests(5)
    own = load(tmp_path / "specialists" / "one", tiny[0])
    with AskedEngine(Named(tmp_path, tiny[0]), tmp_path) as asked:
        there = asked.load(tmp_path / "specialists" / "one")
        assert there.engine == "" and own.engine == "local"
        check_predictor(there, requests)
        assert [p.answer for p in there.predict(requests)] == [p.answer for p in own.predict(requests)]
        assert there.engine == "named f32"
        with pytest.raises(BadInput):
            asked.load(tmp_path / "none").predict(requests[:1])


def test_an_engine_that_does_not_start_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UpstreamError, match="not there"), AskedEngine(NotThere(tmp_path, tmp_path), tmp_path):
        raise AssertionError("it did start")
