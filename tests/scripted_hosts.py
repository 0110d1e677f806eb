"""Hosts of specialists whose worker says what a test sets; everything but the worker is the real thing. And a route
to ask them by."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from msgspec.structs import replace
from tests.integration.gateway.specialists import CERTIFICATE, publish, route_for

from deputize.core.records import Contract, Prediction, Request, RouteFile
from deputize.gateway.metrics import Metrics
from deputize.hosting.specialist_host import SpecialistHost
from deputize.http.limits import Limits
from deputize.http.server import HttpServer, listen
from deputize.specialists.serving.base import ServedVersion
from deputize.specialists.serving.frames import PredictReply
from deputize.specialists.serving.pool import WorkerEngine
from deputize.specialists.specialist_card import CARD, digest_of
from deputize.store.access.api_keys import ApiKeys
from deputize.store.keys.keyring import KeyRing

Answer = Callable[[str, Request], Awaitable[PredictReply]]


class ScriptedWorker(WorkerEngine):
    """A worker that no process stands behind."""

    def __init__(self, folder: Path, answer: Answer) -> None:
        super().__init__(folder, folder)
        self.answer, self.asked, self.there, self.loads = answer, 0, True, False

    @property
    def is_loaded(self) -> bool:
        return self.there and not self.loads

    @property
    def is_loading(self) -> bool:
        return self.there and self.loads

    async def ask(self, specialist_path: str, request: Request, timeout_s: float) -> PredictReply:
        self.asked += 1
        return await self.answer(specialist_path, request)


class ScriptedHost:
    """A running host."""

    def __init__(self, address: str, worker: ScriptedWorker, host: SpecialistHost, denied: list[str]) -> None:
        self.address, self.worker, self.host, self.denied = address, worker, host, denied


def says(answer: str, card_sha256: str, engine: str = "local") -> Answer:
    """What always answers the same."""

    async def answer_(specialist: str, request: Request) -> PredictReply:
        return PredictReply(
            id=1,
            prediction=Prediction(answer=answer, confidence=0.9, engine=engine),
            card_sha256=card_sha256,
        )

    return answer_


@asynccontextmanager
async def scripted_host(
    folder: Path,
    secret: bytes,
    versions: Mapping[str, ServedVersion],
    answer: Answer,
    *,
    port: int = 0,
    keys_required: bool = False,
) -> AsyncIterator[ScriptedHost]:
    """A host on loopback, for as long as the block lasts."""
    worker, denied = ScriptedWorker(folder, answer), list[str]()
    host = SpecialistHost(
        engine=worker,
        versions=lambda: versions,
        secret=secret,
        api_keys=ApiKeys(folder, KeyRing.open(folder)),
        keys_required=lambda: keys_required,
        metrics=Metrics(),
        note_denial=lambda error, path, key: denied.append(path),
        clock=time.time,
    )
    server = HttpServer(host, Limits(), host.refusal, host.admit)
    listening = listen("127.0.0.1", port)
    await server.start(listening)
    try:
        yield ScriptedHost(f"http://127.0.0.1:{listening.getsockname()[1]}", worker, host, denied)
    finally:
        await server.drain(0.2)
        listening.close()


def publish_pinned(
    home: Path,
    specialist: str,
    request: Request | None = None,
    contract: Contract | None = None,
    engine: str = "",
) -> RouteFile:
    """A live route of a specialist that lies in the home, with the digest of its card, as a conversion publishes it."""
    file = route_for(
        request or Request(messages=[{"role": "user", "content": "x"}]),
        contract or Contract(kind="label", labels=["x"]),
        threshold=0.0,
    )
    route = replace(
        file.routes[0],
        specialist=specialist,
        card_sha256=digest_of(home / specialist / CARD),
        certificate=replace(CERTIFICATE, threshold=0.0, engine=engine),
    )
    return publish(home, replace(file, routes=[route]))


async def until_ready(address: str, within_s: float = 120.0) -> None:
    """Until a host has loaded the specialists of its routes."""
    async with asyncio.timeout(within_s), aiohttp.ClientSession() as client:
        while True:
            try:
                async with client.get(f"{address}/readyz") as reply:
                    if reply.status == 200:
                        return
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.1)
