"""The process in which specialists answer: torch lives here, never in the gateway.

One thread computes; requests that wait for the same specialist are answered as one batch. Ends when its standard
input closes, so that no orphan stays behind a gateway that was killed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from deputize.core.errors import DeputizeError
from deputize.core.records import Prediction, Request
from deputize.engines.local.frames import Question, Reply, pack, read_frame

MAX_BATCH = 16
WINDOW_S = 0.002
"""How long a lone request waits for company; small beside a forward pass, enough for a burst."""
MAX_LOADED = 64
"""Specialists kept in memory; the one unused longest goes first."""


class Answers(Protocol):
    """What the batcher asks: `engines.local.predict.Predictor`."""

    def predict(self, requests: Sequence[Request]) -> list[Prediction]: ...


class Batcher:
    """Collects questions per specialist and answers them in batches, on the thread that calls `run`."""

    def __init__(
        self, load: Callable[[str], Answers], *, unload: Callable[[Answers], None] = lambda _: None,
        max_batch: int = MAX_BATCH, window_s: float = WINDOW_S, max_loaded: int = MAX_LOADED,
    ) -> None:  # fmt: skip
        self._load, self._unload = load, unload
        self._max_batch, self._window_s, self._max_loaded = max_batch, window_s, max_loaded
        self._waiting: OrderedDict[str, deque[tuple[Question, Callable[[Reply], None]]]] = OrderedDict()
        self._changed = threading.Condition()
        self._loaded: OrderedDict[str, Answers] = OrderedDict()
        self._ended = False

    def put(self, question: Question, answer: Callable[[Reply], None]) -> None:
        """Queues a question; `answer` is called once, on the computing thread."""
        with self._changed:
            self._waiting.setdefault(question.specialist, deque()).append((question, answer))
            self._changed.notify()

    def end(self) -> None:
        """Lets `run` return after the batch in hand."""
        with self._changed:
            self._ended = True
            self._changed.notify()

    def run(self) -> None:
        """Answers until `end` is called."""
        while (batch := self._next()) is not None:
            self._answer(batch)

    def _next(self) -> list[tuple[Question, Callable[[Reply], None]]] | None:
        """The questions of the specialist that has waited longest, at most one batch; None at the end."""
        with self._changed:
            while not self._waiting and not self._ended:
                self._changed.wait()
            if self._ended:
                return None
            name, queue = next(iter(self._waiting.items()))
            until = time.monotonic() + self._window_s
            while len(queue) < self._max_batch and (left := until - time.monotonic()) > 0 and not self._ended:
                self._changed.wait(left)
            batch = [queue.popleft() for _ in range(min(len(queue), self._max_batch))]
            if queue:
                self._waiting.move_to_end(name)  # the others first, so that one busy route starves none
            else:
                del self._waiting[name]
            return batch

    def _answer(self, batch: list[tuple[Question, Callable[[Reply], None]]]) -> None:
        name = batch[0][0].specialist
        try:
            predictor = self._predictor(name)
            asked = [(q, done) for q, done in batch if q.request is not None]
            requests = [q.request for q, _ in asked if q.request is not None]
            predictions = predictor.predict(requests) if requests else []
        except DeputizeError as error:
            self._fail(batch, str(error))
            return
        except Exception as error:  # noqa: BLE001 - the edge of the worker: one bad batch must not end the process
            self._fail(batch, f"the specialist failed ({type(error).__name__})")
            return
        for question, done in batch:
            if question.request is None:
                done(Reply(id=question.id))
        for (question, done), prediction in zip(asked, predictions, strict=True):
            done(Reply(id=question.id, prediction=prediction))

    @staticmethod
    def _fail(batch: list[tuple[Question, Callable[[Reply], None]]], why: str) -> None:
        for question, done in batch:
            done(Reply(id=question.id, error=why))

    def _predictor(self, name: str) -> Answers:
        found = self._loaded.get(name)
        if found is None:
            while len(self._loaded) >= self._max_loaded:
                self._unload(self._loaded.popitem(last=False)[1])
            found = self._loaded[name] = self._load(name)
        self._loaded.move_to_end(name)
        return found


async def serve(batcher: Batcher, socket_path: Path, ended: asyncio.Event) -> None:
    """Takes questions from the socket and writes replies as they come, until `ended` is set."""
    loop = asyncio.get_running_loop()

    async def client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def send(reply: Reply) -> None:
            loop.call_soon_threadsafe(lambda: None if writer.is_closing() else writer.write(pack(reply)))

        try:
            while True:
                batcher.put(await read_frame(reader, Question), send)
        except (asyncio.IncompleteReadError, ConnectionError, DeputizeError):
            writer.close()

    server = await asyncio.start_unix_server(client, str(socket_path))
    socket_path.chmod(0o600)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await ended.wait()
    server.close()


def main() -> None:
    """Runs a worker until standard input closes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("--socket", type=Path, required=True)
    options = parser.parse_args()

    from deputize.engines.local.predict import Predictor, load, unload

    def drop(predictor: Answers) -> None:
        if isinstance(predictor, Predictor):
            unload(predictor)

    home: Path = options.home
    batcher = Batcher(lambda name: load(_inside(home, name), options.models), unload=drop)

    async def run() -> None:
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()

        def wait_for_parent() -> None:
            while os.read(0, 4096):
                pass
            loop.call_soon_threadsafe(ended.set)

        threading.Thread(target=wait_for_parent, daemon=True).start()
        threading.Thread(target=batcher.run, daemon=True).start()
        await serve(batcher, options.socket, ended)

    asyncio.run(run())
    batcher.end()
    os._exit(0)  # a batch in hand answers nobody any more; do not wait for it


def _inside(home: Path, name: str) -> Path:
    """The folder of a specialist, which must lie inside the home."""
    folder = (home / name).resolve()
    if not folder.is_relative_to(home.resolve()):
        raise DeputizeError("a specialist outside the home is not loaded")
    return folder


if __name__ == "__main__":
    main()
