"""`deputize dashboard`: the pages on a port of this machine, for whoever has the link that it prints."""

from __future__ import annotations

import asyncio
import hmac
import os
import secrets
import signal
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from deputize.core.errors import UsageError
from deputize.dashboard.call_reader import CallReader
from deputize.dashboard.pages import Pages
from deputize.gateway.addresses import check_port, is_loopback
from deputize.home import Home
from deputize.http.admission import Admitted
from deputize.http.handler import HttpReply
from deputize.http.headers import Headers
from deputize.http.limits import Limits
from deputize.http.server import HttpServer, listen
from deputize.store.access.roles import Actor
from deputize.web.page_request import MAX_BODY_BYTES, html_reply
from deputize.web.sessions import Sessions
from deputize.web.sign_in import LaunchLink

HOST = "127.0.0.1"
_LIMITS = Limits(
    max_head_bytes=16 * 1024, max_body_bytes=MAX_BODY_BYTES, max_bodies_bytes=16 << 20, max_connections=256
)
_PLAIN: Headers = [("content-type", "text/plain; charset=utf-8"), ("x-content-type-options", "nosniff")]


class LocalPages:
    """The handler of the HTTP server: pages are made in one thread, so that the event loop is free."""

    def __init__(self, pages: Pages, base: str) -> None:
        """
        Args:
            pages: what is shown.
            base: the secret path below which it is: browsers send a cookie to every port of a name, so that a program
                of somebody else on this machine would get the session's from whoever visits it.
        """
        self._pages, self._base = pages, base
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="pages")

    async def __call__(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
        admitted = self.admit(method, path, headers)
        return admitted if isinstance(admitted, HttpReply) else await admitted.answer(body)

    def admit(self, method: str, path: str, headers: Mapping[str, str]) -> Admitted | HttpReply:
        """Decides on a request by its head: a name that another site points at this machine is refused (DNS
        rebinding)."""
        if not is_loopback(_name_of(headers.get("host", ""))):
            return html_reply("This page is asked for as 127.0.0.1 or localhost only.", 403)
        below = path[: len(self._base) + 1].encode("utf-8", "replace")
        if not hmac.compare_digest(below, f"{self._base}/".encode()):
            return html_reply("Open the link that `deputize dashboard` printed in its terminal.", 401)

        async def answer(body: bytes) -> HttpReply:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._pool, self._pages.answer, method, path, headers, body)

        return Admitted(answer)

    def close(self) -> None:
        """Ends the thread."""
        self._pool.shutdown(cancel_futures=True)


def _name_of(host: str) -> str:
    """The host of a Host header without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].lower()


def _refusal(status: int, sentence: str) -> HttpReply:
    return HttpReply(status, list(_PLAIN), sentence.encode())


def serve_dashboard(
    home: Home, actor: Actor, port: int, on_listening: Callable[[str], None] = lambda link: None
) -> None:
    """Serves the pages of a home on this machine until SIGINT or SIGTERM.

    Args:
        home: the home.
        actor: for whom; the pages show and do what that person may.
        port: to listen on; 0: any free one.
        on_listening: is called with the link that opens them.

    Raises:
        UsageError: the port cannot be listened on.
    """
    check_port(HOST, port)
    try:
        listening = listen(HOST, port)
    except OSError as error:
        raise UsageError(f"Port {port} on {HOST} cannot be used: {error.strerror}.") from error
    chosen = int(listening.getsockname()[1])
    token = secrets.token_urlsafe(32)
    # of this process alone, so that its sessions end with it
    sessions = Sessions(os.urandom(32), home.now)
    reader = CallReader(home)
    base = f"/{secrets.token_urlsafe(16)}"
    pages = Pages(home, reader, LaunchLink(token, actor, sessions), cookie=f"deputize_{chosen}", base=base)
    link = f"http://{HOST}:{chosen}{base}/?token={token}"
    reader.start()
    try:
        asyncio.run(_serve_until_stopped(LocalPages(pages, base), listening, lambda: on_listening(link)))
    finally:
        reader.stop()
        pages.close()


async def _serve_until_stopped(handler: LocalPages, listening: Any, on_listening: Callable[[], None]) -> None:
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    server = HttpServer(handler, _LIMITS, _refusal, handler.admit)
    await server.start(listening)
    on_listening()
    await stopped.wait()
    await server.drain(2.0)
    handler.close()
