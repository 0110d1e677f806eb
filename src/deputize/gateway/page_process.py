"""The client of the process that makes the pages at /ui (see dashboard.page_worker): it takes nothing from the event
loop.

The process is started when somebody with a session asks for a page, and ended when nobody has for a while. Whoever has
none is answered here (web.sign_in_page): a process for anybody who asks would be memory that anybody can take.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from deputize.core.errors import DeputizeError, OverLimit, RequestTooLarge, StoreError
from deputize.gateway import error_replies
from deputize.gateway.auth import key_id
from deputize.gateway.denials import NoteDenial
from deputize.gateway.process_messages import end_process, receive, send_value
from deputize.http.admission import Admitted
from deputize.http.handler import HttpReply
from deputize.web.sign_in import KeySignIn
from deputize.web.sign_in_page import SignInPage
from deputize.wire.registry import CHAT

log = logging.getLogger("deputize.gateway")

MAX_BODY_BYTES = 64 * 1024
MAX_WAITING = 16
"""Requests for pages that wait; more are told to come back."""
BASE = "/ui"
COOKIE = "deputize_ui"
_PAUSE_S = 0.05
"""Between two requests of a connection without a session."""
IDLE_S = 900.0
"""After so long without a request the process ends."""
LONGEST_S = 60.0
"""A process that takes longer for a page is replaced."""
_MODULE = "deputize.dashboard.page_worker"
_HEADERS = ("content-type", "cookie", "host", "origin", "sec-fetch-site")
"""The headers that pages look at; no key of an agent travels on."""
_reply = msgspec.msgpack.Decoder(tuple[int, list[tuple[str, str]], bytes])


class PageProcess:
    """One process that answers requests for pages, one at a time."""

    def __init__(
        self,
        home: Path,
        sign_in: KeySignIn,
        *,
        is_https: bool,
        note_denial: NoteDenial = lambda error, path, key_id: None,
        idle_s: float = IDLE_S,
    ) -> None:
        """
        Args:
            home: whose pages they are.
            sign_in: checks keys and sessions.
            is_https: the gateway is asked over HTTPS only.
            note_denial: is told of keys that were shown in vain.
            idle_s: see IDLE_S.
        """
        self._settings = {"home": str(home), "base": BASE, "cookie": COOKIE, "is_https": is_https}
        self._front = SignInPage(
            sign_in,
            base=BASE,
            cookie=COOKIE,
            is_https=is_https,
            on_refused=lambda error, key: note_denial(error, BASE, key_id(key)),
        )
        self._idle_s = idle_s
        self._process: Process | None = None
        self._lock = asyncio.Lock()
        self._n_waiting = 0
        self._ending: asyncio.TimerHandle | None = None

    @property
    def is_running(self) -> bool:
        """True while there is a process."""
        return self._process is not None

    def admit(
        self, method: str, path: str, headers: Mapping[str, str], on_reply: Callable[[int], None]
    ) -> Admitted:
        """Lets a request in by its head; who asks is told by a cookie.

        Args:
            method: as sent.
            path: with its query.
            headers: lower-case names.
            on_reply: is told the status of the reply.

        Raises:
            RequestTooLarge: its body is no form of ours.
        """
        length = headers.get("content-length", "0")
        if "transfer-encoding" in headers or not length.isdecimal() or int(length) > MAX_BODY_BYTES:
            raise RequestTooLarge(f"A form of these pages has at most {MAX_BODY_BYTES // 1024} KB.")

        async def front(body: bytes) -> HttpReply:
            reply = self._front.answer(method, path, headers, body)
            on_reply(reply.status)
            return reply

        if self._front.takes(path, headers):
            return Admitted(front, pause_s=_PAUSE_S)

        async def answer(body: bytes) -> HttpReply:
            try:
                reply = await self.answer(method, path, headers, body)
            except DeputizeError as error:
                reply = error_replies.refused(CHAT, error)
            on_reply(reply.status)
            return reply

        return Admitted(answer)

    async def answer(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
        """The reply to a request for a page.

        Raises:
            OverLimit: too many wait.
            StoreError: there is no answer.
        """
        if self._n_waiting >= MAX_WAITING:
            raise OverLimit("Too many requests for pages wait; try again.", 1.0)
        self._n_waiting += 1
        try:
            request = (method, path, {n: headers[n] for n in _HEADERS if n in headers}, body)
            # a browser that goes away must not leave half an answer for the next one
            return await asyncio.shield(asyncio.ensure_future(self._ask(request)))
        finally:
            self._n_waiting -= 1

    async def _ask(self, request: tuple[str, str, dict[str, str], bytes]) -> HttpReply:
        async with self._lock:
            self._stay()
            try:
                async with asyncio.timeout(LONGEST_S):
                    process = self._process or await self._started()
                    send_value(process, request)
                    return HttpReply(*_reply.decode(await receive(process)))
            except (EOFError, OSError, msgspec.DecodeError) as error:  # TimeoutError is an OSError
                self._kill()
                log.error("the process that makes pages gave no answer, and is started again when asked")
                raise StoreError("The page could not be made; try again.") from error

    async def _started(self) -> Process:
        # the key ring may need what the environment holds
        process = await asyncio.create_subprocess_exec(sys.executable, "-m", _MODULE, stdin=PIPE, stdout=PIPE)
        self._process = process
        send_value(process, self._settings)
        return process

    def _stay(self) -> None:
        if self._ending is not None:
            self._ending.cancel()
        self._ending = asyncio.get_running_loop().call_later(self._idle_s, self._end_soon)

    def _end_soon(self) -> None:
        self._ending = None
        if self._lock.locked():
            self._stay()
        elif self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()  # it ends when its input does
            self._process = None

    def _kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()

    async def stop(self) -> None:
        """Ends the process."""
        if self._ending is not None:
            self._ending.cancel()
        process, self._process = self._process, None
        if process is not None:
            await end_process(process)
