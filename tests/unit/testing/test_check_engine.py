"""The contract of engines on engines without a model."""

from __future__ import annotations

import asyncio

import pytest

from deputize.core.errors import BadInput, UpstreamError, UpstreamTimeout
from deputize.core.records import Prediction, Request
from deputize.specialists.serving.base import StillLoading
from deputize.testing import check_engine

REQUESTS = [Request(messages=[{"role": "user", "content": text}]) for text in ("one", "two")]


class Echo:
    """Answers with what was said."""

    running = False

    async def start(self) -> None:
        self.running = True

    async def stop(self) -> None:
        self.running = False

    async def predict(self, specialist_path: str, request: Request, timeout_s: float) -> Prediction:
        if not self.running:
            raise UpstreamError("not running")
        if timeout_s < 0.001:
            raise UpstreamTimeout("too late")
        if specialist_path != "s":
            raise BadInput("no such specialist")
        await asyncio.sleep(0)
        return Prediction(answer=request.messages[0]["content"], confidence=0.5, engine="echo")


class TooSure(Echo):
    async def predict(self, specialist_path: str, request: Request, timeout_s: float) -> Prediction:
        found = await super().predict(specialist_path, request, timeout_s)
        return Prediction(answer=found.answer, confidence=1.5, engine="echo")


class Endless(Echo):
    async def stop(self) -> None:
        """Goes on."""


class Slow(Echo):
    """Refuses its first calls, as an engine does whose specialist is being loaded."""

    n_refused, n_refusing = 0, 2

    async def predict(self, specialist_path: str, request: Request, timeout_s: float) -> Prediction:
        found = await super().predict(specialist_path, request, timeout_s)
        if self.n_refused < self.n_refusing:
            self.n_refused += 1
            raise StillLoading("the specialist is being loaded")
        return found


async def test_an_engine_may_refuse_while_it_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    await check_engine(Slow, "s", REQUESTS)
    monkeypatch.setattr(Slow, "n_refusing", 1000)
    with pytest.raises(AssertionError, match="loaded within"):
        await check_engine(Slow, "s", REQUESTS, timeout_s=0.1)


async def test_a_good_engine_passes() -> None:
    await check_engine(Echo, "s", REQUESTS)


@pytest.mark.parametrize(("wrong", "promise"), [(TooSure, "lies in"), (Endless, "stopped engine")])
async def test_a_wrong_engine_is_named(wrong: type[Echo], promise: str) -> None:
    with pytest.raises(AssertionError, match=promise):
        await check_engine(wrong, "s", REQUESTS)
