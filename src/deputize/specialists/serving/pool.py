"""Asks the worker process from an event loop; starts it, and starts it again when it dies. Never imports torch.

Several processes of one home (gateway workers) share one worker: whoever holds the lock starts it, the others connect;
when the holder ends its worker ends too, and another takes the lock.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import itertools
import logging
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from deputize.core.config import EngineSettings
from deputize.core.errors import DeputizeError, MissingExtra, UpstreamError, UpstreamTimeout
from deputize.core.records import Prediction, Request
from deputize.files import make_folder, open_log
from deputize.specialists.serving.base import EngineFailure, StillLoading
from deputize.specialists.serving.frames import (
    PredictReply,
    PredictRequest,
    WorkerSignals,
    pack,
    read,
    socket_folder,
)
from deputize.specialists.serving.worker_troubles import forget_troubles, note_end

log = logging.getLogger("deputize.engine")

START_TIMEOUT_S = 60.0
LOADED_WITHIN_S = 30.0
"""How long a start waits for the specialists of open routes; where it takes longer, the LLM answers until they are
loaded."""
_RETRY_S = (0.2, 0.5, 1.0, 2.0, 5.0, 15.0, 30.0)
"""Waits before the worker is started again; the last one repeats."""
STEADY_S = 60.0
"""A worker that lived so long has not failed at once: the next wait is the first one again."""
PING_S, LOADING_PING_S, HUNG_S = 5.0, 0.1, 60.0
"""How often the worker is asked whether it is there, how often while it loads, and how long it may say nothing before
it is ended."""


_NEEDED = frozenset(
    {"PATH", "HOME", "TMPDIR", "TZ", "TERM", "VIRTUAL_ENV", "LANG", "LANGUAGE", "SSL_CERT_FILE"}
)
_NEEDED_STARTS = (
    "LC_",
    "PYTHON",
    "OMP_",
    "MKL_",
    "OPENBLAS_",
    "KMP_",
    "NVIDIA_",
    "CUDA",
    "LD_LIBRARY_PATH",
    "TORCH",
    "PYTORCH",
    "XDG_",
    "COVERAGE",
    "DEPUTIZE_MODELS",
)
_SECRET = ("KEY", "TOKEN", "SECRET", "PASSWORD", "CREDENTIAL")


def worker_environment(environ: Mapping[str, str], wanted: str = "") -> dict[str, str]:
    """The environment of a worker: what libraries need, no key of the home and no credentials of an LLM. A worker reads
    what users write; there is to be nothing in its memory that it does not need.

    Args:
        environ: of this process.
        wanted: a variable that the worker needs by intent, with the key of the server that it asks; "": none.
    """
    kept = {
        name: value
        for name, value in environ.items()
        if name == wanted
        or (
            (name in _NEEDED or name.startswith(_NEEDED_STARTS))
            and not any(s in name.upper() for s in _SECRET)
        )
    }
    return {**kept, "OMP_WAIT_POLICY": environ.get("OMP_WAIT_POLICY", "PASSIVE")}


class WorkerEngine:
    """The specialists of one home, in a process of their own."""

    def __init__(self, home: Path, models_dir: Path, settings: EngineSettings | None = None) -> None:
        """
        Args:
            home: the folder that specialists' paths are relative to.
            models_dir: where base models lie.
            settings: what writes the answers of decoders; None: transformers in the worker.
        """
        self.home, self.models_dir, self.settings = home, models_dir, settings or EngineSettings()
        self._ids = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[PredictReply]] = {}
        self._writer: asyncio.StreamWriter | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._lock: IO[bytes] | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._connected, self._loaded = asyncio.Event(), asyncio.Event()
        self._began_s, self._hung = 0.0, ""
        """Unix seconds at which the worker was started; why this pool has ended it, "": it has not."""
        self._heard_s = 0.0
        """Loop seconds of the last word of the worker."""
        self._ended, self._signals = WorkerSignals(), WorkerSignals()
        """Of workers that have ended, and of the present one, as it last said."""

    @property
    def worker_pid(self) -> int | None:
        """The worker's process id where this pool started it and it runs, else None."""
        running = self._process is not None and self._process.returncode is None
        return self._process.pid if running and self._process is not None else None

    @property
    def is_loaded(self) -> bool:
        """True where the worker can be asked now, and had loaded the specialists of open routes."""
        return self._loaded.is_set()

    @property
    def is_loading(self) -> bool:
        """True where the worker is there, and has not loaded the specialists of open routes yet."""
        return self._writer is not None and not self._loaded.is_set()

    @property
    def signals(self) -> WorkerSignals | None:
        """The load of the worker some seconds ago, with the totals of those before it; None where another process keeps
        it, and tells of it."""
        return None if self._lock is None else self._signals.after(self._ended)

    async def start(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Starts or joins the worker and keeps it alive; waits LOADED_WITHIN_S at most for the specialists of open
        routes.

        Raises:
            MissingExtra: torch is not installed.
            UpstreamError: the worker does not come up in time.
        """
        if self._keeper is not None:
            return
        from importlib.util import find_spec

        if find_spec("torch") is None:
            raise MissingExtra.package("torch", "train")
        if self.settings.kind == "llamacpp" and find_spec("xllamacpp") is None:
            raise MissingExtra.package("xllamacpp", "llamacpp")
        self._keeper = asyncio.create_task(self._keep(), name="local engine")
        try:
            async with asyncio.timeout(timeout_s):
                await self._connected.wait()
        except TimeoutError:
            await self.stop()
            raise UpstreamError(
                f"the local engine did not start within {timeout_s:.0f} s; see {self._log_path}"
            ) from None
        try:
            async with asyncio.timeout(LOADED_WITHIN_S):
                await self._loaded.wait()
        except TimeoutError:
            log.warning("specialists are still being loaded; the LLM answers their calls until then")

    async def predict(self, specialist_path: str, request: Request, timeout_s: float) -> Prediction:
        """A specialist's answer. Raises as `ask`."""
        prediction = (await self.ask(specialist_path, request, timeout_s)).prediction
        assert prediction is not None
        return prediction

    async def ask(self, specialist_path: str, request: Request, timeout_s: float) -> PredictReply:
        """The worker's reply, with a prediction, and the card of the specialist that made it.

        Raises:
            UpstreamTimeout: none came in time.
            UpstreamError: the worker is not there (it is being started again).
            StillLoading: specialists are being loaded.
            EngineFailure: the specialist could not be loaded or failed.
        """
        if self._writer is None or self._writer.is_closing():
            raise UpstreamError("the local engine is not running")
        number = next(self._ids)
        future: asyncio.Future[PredictReply] = asyncio.get_running_loop().create_future()
        self._waiting[number] = future
        try:
            self._writer.write(
                pack(
                    PredictRequest(id=number, specialist=specialist_path, request=request, within_s=timeout_s)
                )
            )
            async with asyncio.timeout(timeout_s):
                return await future
        except TimeoutError:
            raise UpstreamTimeout(f"no specialist's answer within {timeout_s:.1f} s") from None
        except (ConnectionError, OSError) as error:
            raise UpstreamError(f"the local engine cannot be reached: {type(error).__name__}") from error
        finally:
            self._waiting.pop(number, None)

    async def stop(self) -> None:
        """Ends the worker, where this pool started it, and every wait on it."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await keeper
        self._let_go("the local engine was stopped")
        await self._end_worker()

    # -- keeping it alive

    async def _keep(self) -> None:
        failures, loop = 0, asyncio.get_running_loop()
        while True:
            began = loop.time()
            try:
                stream = await self._connect()
                watch = asyncio.create_task(self._watch(), name="watch of the local engine")
                try:
                    await self._listen(stream)
                finally:
                    watch.cancel()
                log.warning("the local engine went away%s; it is started again", await self._why_ended())
            except (OSError, DeputizeError) as error:
                log.warning("the local engine cannot be reached%s: %s", await self._why_ended(), error)
            finally:
                self._let_go("the local engine went away")
            if loop.time() - began > STEADY_S:
                failures = 0
            await asyncio.sleep(_RETRY_S[min(failures, len(_RETRY_S) - 1)])
            failures += 1

    async def _connect(self) -> asyncio.StreamReader:
        """A connection to the worker, started first where nobody else keeps one."""
        path = socket_folder(self.home) / "engine.sock"
        if self._take_lock():
            await self._end_worker()
            self._ended, self._signals = self._signals.after(self._ended), WorkerSignals()
            path.unlink(missing_ok=True)
            await self._start_worker(path)
        end = asyncio.get_running_loop().time() + START_TIMEOUT_S
        while True:
            try:
                reader, writer = await asyncio.open_unix_connection(str(path))
                break
            except (FileNotFoundError, ConnectionRefusedError):
                if self._process is not None and self._process.returncode is not None:
                    raise UpstreamError(f"the local engine ended at once; see {self._log_path}") from None
                if asyncio.get_running_loop().time() > end:
                    raise
                await asyncio.sleep(0.02)
        self._writer = writer
        self._connected.set()
        return reader

    async def _watch(self) -> None:
        """Ends a worker that says nothing any more, so that another is started: stopped, swapping, out of processor
        time."""
        loop = asyncio.get_running_loop()
        self._heard_s = loop.time()
        ping = pack(PredictRequest(id=0, specialist="", request=Request(messages=[])))
        while self._writer is not None:
            self._writer.write(ping)
            await asyncio.sleep(PING_S if self._loaded.is_set() else LOADING_PING_S)
            if loop.time() - self._heard_s > HUNG_S:
                self._hung = f"it said nothing for {HUNG_S:.0f} s"
                log.error("the local engine says nothing for %.0f s; it is ended", HUNG_S)
                if self._process is not None and self._process.returncode is None:
                    self._process.kill()
                self._writer.transport.abort()
                return

    async def _listen(self, stream: asyncio.StreamReader) -> None:
        while (reply := await read(stream, PredictReply)) is not None:
            self._heard_s = asyncio.get_running_loop().time()
            if reply.id == 0 and not reply.is_loading:
                self._loaded.set()
            if reply.signals is not None:
                self._signals = reply.signals
            future = self._waiting.get(reply.id)
            if future is None or future.done():
                continue
            if reply.prediction is not None:
                future.set_result(reply)
            elif reply.is_loading:
                future.set_exception(StillLoading(reply.error))
            else:
                future.set_exception(EngineFailure(reply.error or "the specialist gave no answer"))

    def _take_lock(self) -> bool:
        """True where this process keeps the worker; once taken the lock stays until it ends."""
        if self._lock is not None:
            return True
        handle = (socket_folder(self.home) / "engine.lock").open("ab")
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            handle.close()
            return False
        self._lock = handle
        forget_troubles(self.home)
        return True

    async def _start_worker(self, path: Path) -> None:
        environment = worker_environment(os.environ, self.settings.api_key_env)
        command = [sys.executable, "-m", "deputize.specialists.serving.worker", "--socket", str(path)]
        command += ["--home", str(self.home), "--models", str(self.models_dir)]
        command += ["--engine", self.settings.model_dump_json(exclude_defaults=True)]
        make_folder(self.home)
        self._began_s, self._hung = time.time(), ""
        with open_log(self._log_path) as out:
            starting = asyncio.ensure_future(
                asyncio.create_subprocess_exec(
                    *command,
                    stdin=asyncio.subprocess.PIPE,
                    stdout=out,
                    stderr=out,
                    env=environment,
                    start_new_session=True,  # Ctrl-C reaches the gateway, which ends the worker in order
                )
            )
            try:
                self._process = await asyncio.shield(starting)
            except asyncio.CancelledError:
                self._process = await starting  # half-started it would be nobody's; whoever stops us ends it
                raise

    async def _why_ended(self) -> str:
        """Notes why the worker ended, where this pool started it and it ended by itself."""
        if self._process is None:
            return ""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):  # its socket closes a moment before it is gone
                await self._process.wait()
        if self._process.returncode is None:
            return ""
        code = self._process.returncode
        return f" ({note_end(self.home, code, self._began_s, time.time(), self._hung).why})"

    async def _end_worker(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            if process.stdin is not None:
                process.stdin.close()
            try:
                async with asyncio.timeout(5):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
        if self._keeper is None and self._lock is not None:
            self._lock.close()
            self._lock = None

    def _let_go(self, why: str) -> None:
        self._connected.clear()
        self._loaded.clear()
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
        for future in list(self._waiting.values()):
            if not future.done():
                future.set_exception(UpstreamError(why))

    @property
    def _log_path(self) -> Path:
        return self.home / "engine.log"
