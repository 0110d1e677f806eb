"""An HTTP/1.1 server around the handler: one event loop, no thread in between, every limit of the settings enforced.

What a client may do is bounded at every point: size of head and body, the bodies of all clients together, time for
either, time without taking any of the answer, bytes sent ahead, connections. See `server_connection`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections import deque
from collections.abc import Callable, Mapping
from email.utils import formatdate
from functools import partial
from itertools import islice

from deputize.http.admission import Admit, Admitted, SharedBudget
from deputize.http.handler import Handler, HttpReply
from deputize.http.limits import Limits
from deputize.http.server_connection import ServerConnection

_READ_BYTES = 32 * 1024
"""Read at once of one connection."""
_DROP_BYTES = 256 * 1024
_OVERDUE_AT_ONCE = 16
_OVERDUE_PAUSE_S = 0.02
"""Clients that are late are let go some at a time: they come back together, and others are answered meanwhile."""
_DROP_PAUSE_S = 0.01
"""Between two reads of a client that was refused and is still sending, at the least."""
_DROP_S = 0.0005
"""The same for each such client, so that together they leave most of the time to others."""
_ROOM_TRIED = 256
"""Connections that are looked at for an idle one when there are too many."""

_WAITING = ("head", "idle", "linger", "skip")
"""Of connections that may be closed for others: no request of theirs is being read or answered."""

Refusal = Callable[[int, str], HttpReply]
"""(status, sentence) -> what a request that cannot be understood is answered with."""


class HttpServer:
    """Listens on a socket until `drain`."""

    def __init__(
        self, handler: Handler, limits: Limits, refusal: Refusal, admit: Admit | None = None
    ) -> None:
        """
        Args:
            handler: answers requests; not asked where `admit` is given.
            limits: of clients.
            refusal: the reply to what cannot be understood.
            admit: decides on requests by their heads; None: all are handed to the handler.
        """
        self.handler, self.limits, self.refusal = handler, limits, refusal
        self.admit: Admit = admit or self._admit_all
        self.bodies = SharedBudget(limits.max_bodies_bytes)
        self.read_buffer = memoryview(bytearray(_READ_BYTES))
        """Where the bytes of a read lie until they are copied out, at once."""
        self.drop_buffer = memoryview(bytearray(_DROP_BYTES))
        """The same for what refused clients still send."""
        self.connections: dict[ServerConnection, str] = {}
        """In the order in which they were made, each with the address that it came from."""
        self._of_address: dict[str, dict[ServerConnection, None]] = {}
        """The same by that address."""
        self.loop: asyncio.AbstractEventLoop
        self.draining = False
        self._n_dropping = 0
        """Refused clients that pause between two reads of what they still send."""
        self.date_line = ""
        self._listener: asyncio.Server | None = None
        self._sweeper: asyncio.TimerHandle | None = None
        self._drained: asyncio.Future[None] | None = None

    async def start(self, listening: socket.socket, tls: ssl.SSLContext | None = None) -> None:
        """Serves a bound socket; other processes may hold it as well. With `tls` it speaks HTTPS and nothing else."""
        self.loop = asyncio.get_running_loop()
        self._sweep()
        self._listener = await self.loop.create_server(
            lambda: ServerConnection(self),
            sock=listening,
            backlog=4096,
            ssl=tls,
            ssl_handshake_timeout=self.limits.head_timeout_s if tls else None,
        )

    def _admit_all(self, method: str, path: str, headers: Mapping[str, str]) -> Admitted | HttpReply:
        return Admitted(partial(self.handler, method, path, headers))

    def hold(self, connection: ServerConnection, transport: asyncio.Transport) -> bool:
        """Counts a new connection; False where it is one too many. One that waits for a request is closed for it where
        there are many, or many of its address."""
        limits, peer = self.limits, transport.get_extra_info("peername")
        address = str(peer[0]) if isinstance(peer, tuple) else ""
        same = self._of_address.setdefault(address, {})
        has_room = self._has_room(self.connections, limits.max_connections)
        if limits.max_of_one_address:
            has_room = self._has_room(same, limits.max_of_one_address) and has_room
        self.connections[connection] = address
        self._of_address.setdefault(address, same)[connection] = None
        return has_room

    def _has_room(self, among: Mapping[ServerConnection, object], most: int) -> bool:
        """True where another one may be held; for that one of the oldest that nobody waits for is closed."""
        if len(among) >= most:
            for connection in islice(among, _ROOM_TRIED):
                if not connection.busy and connection.late in _WAITING:
                    self._forget(connection)
                    connection.end(now=True)
                    break
        return len(among) < most

    def _sweep(self) -> None:
        now = self.loop.time()
        self.date_line = f"date: {formatdate(usegmt=True)}\r\n"
        self._end_overdue(deque(c for c in self.connections if c.deadline <= now), now)
        self._sweeper = self.loop.call_later(self.limits.sweep_s, self._sweep)

    def _end_overdue(self, late: deque[ServerConnection], now: float) -> None:
        for _ in range(min(len(late), _OVERDUE_AT_ONCE)):
            connection = late.popleft()
            if connection.deadline <= now:  # still
                connection.overdue()
        if late:
            self.loop.call_later(_OVERDUE_PAUSE_S, self._end_overdue, late, now)

    def drop_later(self, drop_more: Callable[[], None]) -> None:
        """Has a refused client wait before more of it is read: the longer, the more such clients there are."""
        self._n_dropping += 1
        self.loop.call_later(max(_DROP_PAUSE_S, self._n_dropping * _DROP_S), self._drop, drop_more)

    def _drop(self, drop_more: Callable[[], None]) -> None:
        self._n_dropping -= 1
        drop_more()

    def gone(self, connection: ServerConnection) -> None:
        """A client has gone."""
        self._forget(connection)
        self.check_drained()

    def _forget(self, connection: ServerConnection) -> None:
        address = self.connections.pop(connection, None)
        if address is not None:
            same = self._of_address[address]
            del same[connection]
            if not same:
                del self._of_address[address]

    def check_drained(self) -> None:
        """Wakes `drain` when nobody is left."""
        if self._drained is not None and not self._drained.done() and not self.connections:
            self._drained.set_result(None)

    async def drain(self, timeout_s: float) -> bool:
        """Stops listening, lets answers under way end, then cuts the rest. True when all could end."""
        self.draining = True
        if self._listener is not None:
            self._listener.close()
        for connection in list(self.connections):
            connection.end()
        whole = await self._until_empty(timeout_s)
        if not whole:
            for connection in list(self.connections):
                connection.end(now=True)
            await self._until_empty(1.0)
        if self._sweeper is not None:
            self._sweeper.cancel()
        return whole

    async def _until_empty(self, timeout_s: float) -> bool:
        if self.connections:
            self._drained = self.loop.create_future()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout_s):
                    await self._drained
        return not self.connections


def listen(host: str, port: int) -> socket.socket:
    """A listening socket that child processes may share. Raises OSError."""
    bare = host.strip("[]")
    family, kind, protocol, _, address = socket.getaddrinfo(
        bare, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    found = socket.socket(family, kind, protocol)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(4096)
        found.setblocking(False)
    except OSError:
        found.close()
        raise
    return found


__all__ = ["HttpServer", "ServerConnection", "listen"]
