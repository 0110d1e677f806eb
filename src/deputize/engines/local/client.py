"""Asks the specialists' process from an event loop. Imports no torch; a process that dies is started again."""

from __future__ import annotations

import asyncio
import itertools
import logging
import shutil
import sys
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from deputize.core.errors import DeputizeError
from deputize.core.records import Prediction, Request
from deputize.engines.local.frames import Question, Reply, pack, read_frame

_log = logging.getLogger("deputize.specialists")

START_TIMEOUT_S = 60.0
LOAD_TIMEOUT_S = 120.0
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0


class SpecialistError(DeputizeError):
    """The specialist gave no answer; the LLM takes the call."""

    code = "specialist_error"
    retry = True


class LocalPool:
    """The worker process of one home and the questions it has not answered yet."""

    def __init__(self, home: Path, models_dir: Path, *, command: list[str] | None = None) -> None:
        self._home, self._models_dir = home, models_dir
        self._command = command or [sys.executable, "-m", "deputize.engines.local.worker"]
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        self._process: asyncio.subprocess.Process | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._folder: Path | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._up = asyncio.Event()
        self._warm: set[str] = set()
        self.n_starts = 0

    async def start(self) -> None:
        """Starts the process and keeps it up; returns at once. Asking before it is up waits for it."""
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep_up())

    async def warm(self, specialist_paths: Iterable[str]) -> None:
        """Has specialists loaded before the first call needs them, also after a restart.

        Raises:
            SpecialistError: one of them cannot be loaded; the rest are.
        """
        wanted = list(dict.fromkeys(specialist_paths))
        self._warm.update(wanted)
        done = await asyncio.gather(
            *(self._ask(path, None, LOAD_TIMEOUT_S) for path in wanted), return_exceptions=True
        )
        for failure in done:
            if isinstance(failure, BaseException):
                raise failure

    async def predict(self, specialist_path: str, request: Request, timeout_s: float) -> Prediction:
        """The answer of one specialist.

        Args:
            specialist_path: its folder, relative to the home.
            request: what to answer.
            timeout_s: after which TimeoutError is raised; waiting for the process counts.

        Raises:
            TimeoutError: no answer in time.
            SpecialistError: it cannot be loaded, failed, or its process died.
        """
        reply = await self._ask(specialist_path, request, timeout_s)
        if reply.prediction is None:
            raise SpecialistError("the specialist gave no answer")
        return reply.prediction

    async def stop(self) -> None:
        """Ends the process; questions still open fail."""
        if self._keeper is not None:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeper
            self._keeper = None
        await self._end_process()
        self._fail_all("the specialists' process was stopped")
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None

    async def _ask(self, path: str, request: Request | None, timeout_s: float) -> Reply:
        await self.start()
        number = next(self._ids)
        future: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(timeout_s):
                await self._up.wait()
                writer = self._writer
                if writer is None:
                    raise SpecialistError("the specialists' process is down")
                self._waiting[number] = future
                writer.write(pack(Question(id=number, specialist=path, request=request)))
                await writer.drain()
                reply = await future
        except ConnectionError as error:
            raise SpecialistError("the specialists' process is down") from error
        finally:
            self._waiting.pop(number, None)
            if future.done() and not future.cancelled():
                future.exception()  # taken note of, also where the wait ended first
        if reply.error:
            raise SpecialistError(reply.error)
        return reply

    async def _keep_up(self) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            loop = asyncio.get_running_loop()
            began = loop.time()
            try:
                await self._run_once()
            except (OSError, TimeoutError, DeputizeError, asyncio.IncompleteReadError) as error:
                _log.warning("The specialists' process ended (%s); the LLM answers until it is back.", type(error).__name__)
            finally:
                self._up.clear()
                await self._hang_up()
                self._fail_all("the specialists' process ended")
            await self._end_process()
            pause_s = FIRST_PAUSE_S if loop.time() - began > 60 else min(2 * pause_s, LONGEST_PAUSE_S)
            await asyncio.sleep(pause_s)

    async def _run_once(self) -> None:
        """Starts the process and reads its replies until it ends."""
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="deputize-"))
        socket_path = self._folder / f"worker-{self.n_starts}.sock"
        self.n_starts += 1
        self._process = process = await asyncio.create_subprocess_exec(
            *self._command, "--home", str(self._home), "--models", str(self._models_dir), "--socket", str(socket_path),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        async with asyncio.timeout(START_TIMEOUT_S):
            if await process.stdout.readline() != b"ready\n":
                raise SpecialistError("the specialists' process did not start")
        reader, self._writer = await asyncio.open_unix_connection(str(socket_path))
        self._up.set()
        for path in sorted(self._warm) if self.n_starts > 1 else ():
            self._writer.write(pack(Question(id=next(self._ids), specialist=path)))
        while True:
            reply = await read_frame(reader, Reply)
            future = self._waiting.get(reply.id)
            if future is not None and not future.done():
                future.set_result(reply)

    async def _end_process(self) -> None:
        process, self._process = self._process, None
        await self._hang_up()
        if process is None or process.returncode is not None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            async with asyncio.timeout(5):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    async def _hang_up(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    def _fail_all(self, why: str) -> None:
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(SpecialistError(why))
