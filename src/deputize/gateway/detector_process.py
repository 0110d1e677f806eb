"""The client of the process that looks for personal data in requests (see privacy.masking.detector_worker)."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence
from pathlib import Path

import msgspec

from deputize.core.config import Privacy
from deputize.core.errors import BadInput, StoreError
from deputize.gateway.process_messages import end_process, receive, send_value
from deputize.privacy.call_texts import valid_unicode
from deputize.privacy.masking.found_values import Findings, Line
from deputize.specialists.serving.pool import worker_environment

log = logging.getLogger("deputize.gateway")

_MODULE = "deputize.privacy.masking.detector_worker"
_START_S = 120.0
LONGEST_S = 60.0
"""A process that takes longer for a few lines is replaced."""
_findings = msgspec.msgpack.Decoder(list[Findings])


class MaskingFailed(StoreError):
    """A request could not be masked, so it was not sent."""

    code = "masking_failed"


class _Started(msgspec.Struct, frozen=True):
    error: str = ""
    warnings: list[str] = []


class DetectorProcess:
    """One process, asked for a few lines at a time. One that hangs or dies is replaced."""

    def __init__(self, home: Path, privacy: Privacy) -> None:
        self._settings = {"home": str(home), "privacy": privacy.model_dump_json().encode()}
        self._process: Process | None = None
        self._starting: asyncio.Task[None] | None = None
        self._lock = asyncio.Lock()

    async def start(self) -> None:
        """Starts the process and waits until its detectors are loaded.

        Raises:
            BadInput: a detector cannot be made.
            MaskingFailed: the process does not answer.
        """
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", _MODULE, stdin=PIPE, stdout=PIPE, env=worker_environment(os.environ)
        )
        try:
            send_value(process, self._settings)
            async with asyncio.timeout(_START_S):
                started = msgspec.msgpack.decode(await receive(process), type=_Started)
        except (TimeoutError, EOFError, msgspec.DecodeError) as error:
            await end_process(process)
            raise MaskingFailed("The process that looks for personal data did not start.") from error
        if started.error:
            await end_process(process)
            raise BadInput(f"Personal data cannot be masked ([privacy] live): {started.error}")
        for warning in started.warnings:
            log.warning("%s", warning)
        self._process = process

    async def detect(self, lines: Sequence[Line]) -> list[Findings]:
        """The findings in each of a few lines. Where the caller gives up, the process finishes what it was asked.

        Raises:
            MaskingFailed: there is no answer.
        """
        return await asyncio.shield(asyncio.ensure_future(self._detect(lines)))

    async def _detect(self, lines: Sequence[Line]) -> list[Findings]:
        async with self._lock:
            process = await self._running()
            try:
                async with asyncio.timeout(LONGEST_S):
                    send_value(process, [(valid_unicode(line), is_prose) for line, is_prose in lines])
                    found = _findings.decode(await receive(process))
                if len(found) != len(lines):
                    raise EOFError
            except (EOFError, OSError, msgspec.DecodeError) as error:  # TimeoutError is an OSError
                self._replace()
                raise MaskingFailed(
                    "The process that looks for personal data gave no answer, so the request was not sent on."
                ) from error
            return found

    async def _running(self) -> Process:
        if self._process is None:
            if self._starting is None or self._starting.done():
                self._starting = asyncio.ensure_future(self.start())
            await self._starting
        assert self._process is not None
        return self._process

    def _replace(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
        log.warning("the process that looks for personal data is started again")
        self._starting = asyncio.ensure_future(self.start())
        self._starting.add_done_callback(_note_failure)

    async def stop(self) -> None:
        """Ends the process."""
        if self._starting is not None:
            self._starting.cancel()
        if self._process is not None:
            await end_process(self._process)


def _note_failure(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("%s", error)
