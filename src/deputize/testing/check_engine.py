"""Contract of engines: what `deputize.specialists.serving.base.Engine` promises."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from deputize.core.errors import DeputizeError
from deputize.core.records import Prediction, Request
from deputize.specialists.serving.base import Engine, StillLoading
from deputize.testing.check_predictor import check_prediction, check_same


async def check_engine(
    make: Callable[[], Engine],
    specialist_path: str,
    requests: Sequence[Request],
    *,
    timeout_s: float = 60.0,
) -> None:
    """Checks that an engine keeps its promises; it is started and stopped here.

    Args:
        make: gives the engine, not started.
        specialist_path: of a specialist that it can answer for.
        requests: at least two different ones.
        timeout_s: for each answer, and for the loading before the first one.

    Raises:
        AssertionError: names the promise that is broken.
    """
    engine = make()
    await _fails(
        engine.predict(specialist_path, requests[0], timeout_s), "an engine not started answers nothing"
    )
    await engine.start()
    try:
        await engine.start()  # harmless
        await _loaded(engine, specialist_path, requests[0], timeout_s)
        one_by_one = [await engine.predict(specialist_path, r, timeout_s) for r in requests]
        for prediction in one_by_one:
            assert isinstance(prediction, Prediction), "an answer is a Prediction"
            check_prediction(prediction)
            assert prediction.engine, "an answer names the engine, which certificates are about"
        at_once = await asyncio.gather(
            *(engine.predict(specialist_path, r, timeout_s) for r in [*requests, *reversed(requests)])
        )
        check_same(at_once[: len(requests)], one_by_one, "answering at once does not change")
        check_same(
            at_once[len(requests) :][::-1],
            one_by_one,
            "every answer goes to whoever asked; the order does not change",
        )
        await _fails(
            engine.predict("specialists/there-is-none", requests[0], timeout_s),
            "a specialist that is not there is an error of deputize.core.errors",
        )
        await _fails(
            engine.predict(specialist_path, requests[0], 1e-9),
            "an answer that does not come in time is an error",
        )
        after = [await engine.predict(specialist_path, r, timeout_s) for r in requests]
        check_same(after, one_by_one, "errors of other calls do not change")
    finally:
        await engine.stop()
    await engine.stop()  # harmless
    await _fails(engine.predict(specialist_path, requests[0], timeout_s), "a stopped engine answers nothing")


async def _loaded(engine: Engine, specialist_path: str, request: Request, timeout_s: float) -> None:
    """Asks until the specialist is loaded: an engine may refuse what would wait for it."""
    until = asyncio.get_running_loop().time() + timeout_s
    while asyncio.get_running_loop().time() < until:
        try:
            await engine.predict(specialist_path, request, timeout_s)
            return
        except StillLoading:
            await asyncio.sleep(0.02)
    raise AssertionError(f"a specialist is loaded within {timeout_s:g} s")


async def _fails(answer: object, promise: str) -> None:
    try:
        await answer  # type: ignore[misc]
    except DeputizeError:
        return
    raise AssertionError(promise)
