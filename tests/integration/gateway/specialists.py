"""Specialists in memory: the same small interface as the local pool, with answers a test sets."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

from deputize.core.errors import DeputizeError
from deputize.core.records import (
    Certificate,
    Contract,
    KeySpace,
    Prediction,
    Request,
    Route,
    RouteFile,
    RouteState,
)
from deputize.core.signature import signature
from deputize.core.template_key import TemplateMatcher
from deputize.home import Home
from deputize.routes_file import write_routes


class InMemorySpecialists:
    """Answers with `answer(request)`, which may raise; waits `wait_s` first."""

    def __init__(self, answer: Callable[[Request], Prediction], wait_s: float = 0.0) -> None:
        self.answer = answer
        self.wait_s = wait_s
        self.asked: list[tuple[str, Request]] = []
        self.running = False

    async def start(self) -> None:
        self.running = True

    async def predict(self, specialist_path: str, request: Request, timeout_s: float) -> Prediction:
        self.asked.append((specialist_path, request))
        await asyncio.sleep(self.wait_s)
        return self.answer(request)

    async def stop(self) -> None:
        self.running = False


class SpecialistFailed(DeputizeError):
    """What a broken worker raises."""


def saying(answer: Any, confidence: float = 0.99) -> Callable[[Request], Prediction]:
    """A specialist that always says the same."""
    return lambda request: Prediction(
        answer=answer, confidence=confidence, n_prompt_tokens=7, n_output_tokens=2
    )


def failing(message: str = "the worker died") -> Callable[[Request], Prediction]:
    """A specialist whose worker is broken."""

    def fail(request: Request) -> Prediction:
        raise SpecialistFailed(message)

    return fail


CERTIFICATE = Certificate(
    id="cert-1",
    kind="not_worse_than_llm",
    epsilon=0.02,
    delta=0.05,
    n_calibration=300,
    threshold=0.8,
    share_served=0.9,
    p_value=0.01,
    claim="agrees",
)


def route_for(
    request: Request,
    contract: Contract,
    *,
    state: RouteState = "live",
    share: float = 1.0,
    threshold: float = 0.8,
) -> RouteFile:
    """A route file with one route that exactly this request (and its like) takes."""
    space = KeySpace(signature=signature(request))
    key = TemplateMatcher(space).key(request)
    route = Route(
        id="route-1",
        task_id="task-1",
        task_name="intent",
        keys=[key],
        contract=contract,
        specialist="runs/0001/specialists/task-1-linear",
        threshold=threshold,
        state=state,
        share=share,
        certificate=CERTIFICATE,
    )
    return RouteFile(run_id="0001", keyspaces=[space], routes=[route])


def publish(home: Path, file: RouteFile) -> RouteFile:
    """Puts a route file in force."""
    return write_routes(home / "routes.json", file, Home(home).routes_seal)
