"""An engine as a user would add it, in one file: specialists in the gateway's own process."""

from __future__ import annotations

import asyncio
from pathlib import Path

from deputize.core.errors import UpstreamError, UpstreamTimeout
from deputize.core.records import Prediction, Request
from deputize.specialists.base import Predictor


class InProcessEngine:
    """Entry point `in-process` in the group "deputize.engines"."""

    def __init__(self, home: Path, models_dir: Path) -> None:
        self.home, self.models_dir = home, models_dir
        self._loaded: dict[str, Predictor] | None = None

    async def start(self) -> None:
        self._loaded = self._loaded or {}

    async def predict(self, specialist_path: str, request: Request, timeout_s: float) -> Prediction:
        if self._loaded is None:
            raise UpstreamError("the engine is not running")
        began = asyncio.get_running_loop().time()
        if specialist_path not in self._loaded:
            from deputize.specialists.predictor import load

            self._loaded[specialist_path] = load(self.home / specialist_path, self.models_dir)
        (prediction,) = self._loaded[specialist_path].predict([request])
        if asyncio.get_running_loop().time() - began > timeout_s:
            raise UpstreamTimeout(f"no specialist's answer within {timeout_s:g} s")
        return prediction

    async def stop(self) -> None:
        self._loaded = None
