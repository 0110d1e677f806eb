"""An engine asked as a predictor, so that a certificate is measured on the engine that serves: for engines of other
packages.

Ours are loaded in this process by the code that their worker runs (`specialists.predictor.load`).
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from deputize.core.records import Prediction, Request
from deputize.specialists.serving.base import Engine

T = TypeVar("T")

ANSWER_WITHIN_S = 120.0
AT_ONCE = 8


class AskedEngine:
    """An engine that runs while the block does, on an event loop of its own."""

    def __init__(self, engine: Engine, home: Path) -> None:
        self._engine, self._home = engine, home
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="engine", daemon=True)

    def __enter__(self) -> AskedEngine:
        self._thread.start()
        try:
            self.run(self._engine.start())
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.run(self._engine.stop())
        finally:
            self._end()

    def run(self, what: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine on the engine's loop."""
        return asyncio.run_coroutine_threadsafe(what, self._loop).result()

    def load(self, folder: Path) -> EnginePredictor:
        """A specialist of the home, as the engine answers for it."""
        return EnginePredictor(self, folder.resolve().relative_to(self._home.resolve()).as_posix())

    async def ask(self, specialist: str, requests: Sequence[Request]) -> list[Prediction]:
        """One prediction per request. Raises as `Engine.predict`."""
        free = asyncio.Semaphore(AT_ONCE)

        async def one(request: Request) -> Prediction:
            async with free:
                return await self._engine.predict(specialist, request, ANSWER_WITHIN_S)

        return list(await asyncio.gather(*map(one, requests)))

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class EnginePredictor:
    """One specialist of an engine."""

    def __init__(self, asked: AskedEngine, specialist: str) -> None:
        self._asked, self._specialist = asked, specialist
        self.engine = ""
        """As its last answers name it; "" before there is one."""

    def predict(self, requests: Sequence[Request]) -> list[Prediction]:
        """One prediction per request, in their order. Raises as `Engine.predict`."""
        found = self._asked.run(self._asked.ask(self._specialist, requests))
        self.engine = found[-1].engine if found else self.engine
        return found
