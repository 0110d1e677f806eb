"""A connection decides on requests by their heads and holds no more of a client than it may."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from tests.integration.gateway.test_gateway_tls import Authority, context_of

from deputize.http.admission import Admitted
from deputize.http.handler import HttpReply
from deputize.http.limits import Limits
from deputize.http.server import HttpServer, listen

DENIED = HttpReply(401, [], b"no key")


class AdmissionStub:
    """Lets requests with a key in, holds answers back until `open`, and keeps what it was asked."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.answered: list[tuple[str, int]] = []

    def admit(self, method: str, path: str, headers: Mapping[str, str]) -> Admitted | HttpReply:
        if "x-key" not in headers:
            return DENIED
        return Admitted(partial(self.answer, path), headers["x-key"])

    async def answer(self, path: str, body: bytes) -> HttpReply:
        await self.open.wait()
        self.answered.append((path, len(body)))
        return HttpReply(200, [], path.encode())


async def never(method: str, path: str, headers: Mapping[str, str], body: bytes) -> HttpReply:
    raise AssertionError("admission decides")


@asynccontextmanager
async def served(
    admission: AdmissionStub, limits: Limits | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[HttpServer, int]]:
    server = HttpServer(
        never, limits or Limits(), lambda status, why: HttpReply(status, [], why.encode()), admission.admit
    )
    listening = listen("127.0.0.1", 0)
    await server.start(listening, tls)
    try:
        yield server, listening.getsockname()[1]
    finally:
        admission.open.set()
        await server.drain(1)


def head(path: str = "/", key: str = "", **headers: str | int) -> bytes:
    named = {"host": "h", **({"x-key": key} if key else {}), **headers}
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in named.items())
    return f"POST {path} HTTP/1.1\r\n{lines}\r\n".encode()


async def first(reader: asyncio.StreamReader) -> bytes:
    return await asyncio.wait_for(reader.readuntil(b"\r\n"), 5)


@pytest.mark.parametrize("framing", [("content_length", "30000000"), ("transfer_encoding", "chunked")])
async def test_a_request_is_refused_before_its_body(framing: tuple[str, str]) -> None:
    """The answer comes while not a byte of the body has been sent, and the connection ends."""
    async with served(AdmissionStub()) as (server, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head(**dict([framing])))
        assert (await first(reader)).startswith(b"HTTP/1.1 401 ")
        rest = await asyncio.wait_for(reader.read(), 5)
        assert b"connection: close" in rest and rest.endswith(b"no key") and not server.bodies.used
        writer.close()


async def test_a_refused_request_with_a_short_body_keeps_its_connection() -> None:
    admission = AdmissionStub()
    async with served(admission) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head(content_length=5))
        assert (await first(reader)).startswith(b"HTTP/1.1 401 ")
        await reader.readuntil(b"no key")
        writer.write(b"GET /" + head("/second", "k", content_length=0))
        assert (await first(reader)).startswith(b"HTTP/1.1 200 "), "the five bytes are no request"
        writer.close()
    assert admission.answered == [("/second", 0)]


async def test_a_refused_client_is_not_read_into_memory() -> None:
    async with served(AdmissionStub()) as (server, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head(content_length=30_000_000) + b"x" * 1_000_000)
        assert (await first(reader)).startswith(b"HTTP/1.1 401 ")
        (connection,) = server.connections
        assert connection.n_held == 0
        writer.close()


async def test_bodies_share_a_budget() -> None:
    """Declared bytes count from the head on; what is refused for want of room comes through once there is some."""
    admission = AdmissionStub()
    limits = Limits(max_body_bytes=1000, max_bodies_bytes=1500)
    async with served(admission, limits) as (server, port):
        slow_reader, slow = await asyncio.open_connection("127.0.0.1", port)
        slow.write(head("/slow", "a", content_length=1000) + b"x" * 10)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while server.bodies.used < 1000:
            await asyncio.sleep(0.01)
        writer.write(head("/other", "b", content_length=1000))
        assert (await first(reader)).startswith(b"HTTP/1.1 429 ")
        writer.close()
        slow.write(b"x" * 990)
        assert (await first(slow_reader)).startswith(b"HTTP/1.1 200 ")
        await asyncio.sleep(0)
        assert server.bodies.used == 0
        slow.close()
        # without a length they count as they come
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head("/chunked", "b", transfer_encoding="chunked") + b"1f4\r\n" + b"x" * 500 + b"\r\n")
        while server.bodies.used < 500:
            await asyncio.sleep(0.01)
        writer.close()
        while server.bodies.used:  # a client that goes gives its part back
            await asyncio.sleep(0.01)


async def test_little_is_read_while_an_answer_is_under_way() -> None:
    """Bodies sent ahead stay with the client; all of them are answered in the end, in order."""
    admission = AdmissionStub()
    async with served(admission) as (server, port):
        admission.open.clear()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        body = b"x" * 1_000_000
        for number in range(8):
            writer.write(head(f"/{number}", "k", content_length=len(body)) + body)
        await asyncio.sleep(0.3)
        (connection,) = server.connections
        assert connection.n_held < 100_000 and server.bodies.used <= len(body)
        admission.open.set()
        for number in range(8):
            assert (await first(reader)).startswith(b"HTTP/1.1 200 ")
            await reader.readuntil(f"\r\n\r\n/{number}".encode())
        writer.close()
    assert admission.answered == [(f"/{number}", len(body)) for number in range(8)]


async def test_little_is_read_ahead_over_tls(tmp_path: Path) -> None:
    admission, authority = AdmissionStub(), Authority(tmp_path, "made-up")
    client = ssl.create_default_context(cafile=str(authority.ca_file))
    async with served(admission, tls=context_of(authority.issue("127.0.0.1"))) as (server, port):
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=client)
        admission.open.clear()
        for _ in range(60):
            writer.write(head("/", "k", x_long="x" * 8000, content_length=0))
            await asyncio.sleep(0.002)
        held = [connection._transport.get_read_buffer_size() for connection in server.connections]  # type: ignore[attr-defined]
        assert len(held) == 1 and 0 < held[0] < 100_000
        writer.transport.abort()


async def test_many_small_requests_in_one_write_are_answered_one_by_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # the pause after each of 300 refusals would be most of the time; it is not what this is about
    monkeypatch.setattr("deputize.http.server_connection._PAUSE_S", 0.001)
    admission = AdmissionStub()
    async with served(admission) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        sent = b"".join(
            b"\r\n" * (number % 3) + (head(f"/{number}", "k" * (number % 2), content_length=1) + b"x")
            for number in range(600)
        )
        for start in range(0, len(sent), 997):  # heads are cut everywhere
            writer.write(sent[start : start + 997])
            await asyncio.sleep(0)
        statuses: list[bytes] = []
        while len(statuses) < 600:
            line = await asyncio.wait_for(reader.readline(), 5)
            index = line.find(b"HTTP/1.1 ")
            if index >= 0:
                statuses.append(line[index + 9 : index + 12])
        assert statuses == [b"200" if number % 2 else b"401" for number in range(600)]
        writer.close()


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /a\r\n\r\n", b"400"),
        (b"GET /a HTTP/1.1\r\n\r\n", b"400"),
        (b"GET /a HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", b"400"),
        (b"GET /a HTTP/1.1\r\nhost: a\r\n" + b"x: 1\r\n" * 200 + b"\r\n", b"431"),
        (b"GET /a HTTP/1.1\r\nhost: a\r\nx: " + b"y" * 70_000 + b"\r\n\r\n", b"431"),
    ],
)
async def test_heads_that_are_refused(data: bytes, status: bytes) -> None:
    async with served(AdmissionStub()) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(data)
        assert (await first(reader)).startswith(b"HTTP/1.1 " + status)
        writer.close()


@pytest.mark.parametrize("line", [b"\r\n", b"\n"])
async def test_a_few_empty_lines_may_come_before_a_request_and_no_stream_of_them(line: bytes) -> None:
    async with served(AdmissionStub()) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for _ in range(3):
            writer.write(line * 2 + head("/a", "k", content_length=0))
            assert await asyncio.wait_for(reader.readuntil(b"/a"), 5)
        with pytest.raises(asyncio.IncompleteReadError) as ended:
            for _ in range(400):
                writer.write(line)
                await writer.drain()
                await asyncio.sleep(0)
            await asyncio.wait_for(reader.readuntil(b"no such bytes"), 5)
        assert ended.value.partial.startswith(b"HTTP/1.1 400")
        writer.close()


async def test_a_thousand_upgrades_in_one_write_are_declined() -> None:
    admission = AdmissionStub()
    one = head("/u", "k", connection="Upgrade", upgrade="h2c", content_length=0)
    async with served(admission) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(one * 1000)
        while len(admission.answered) < 1000:
            assert await asyncio.wait_for(reader.read(65536), 5)
        writer.close()


async def test_an_idle_connection_makes_room_for_a_new_one() -> None:
    admission = AdmissionStub()
    async with served(admission, Limits(max_connections=3)) as (_, port):
        idle = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        await asyncio.sleep(0.05)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head("/new", "k", content_length=0))
        assert (await first(reader)).startswith(b"HTTP/1.1 200 ")
        for _, other in [*idle, (reader, writer)]:
            other.close()


async def test_one_address_leaves_connections_to_others() -> None:
    admission = AdmissionStub()
    admission.open.clear()
    limits = Limits(max_connections=12, max_of_one_address=6)
    async with served(admission, limits) as (server, port):
        busy = [await asyncio.open_connection("127.0.0.1", port) for _ in range(6)]
        for _, writer in busy:
            writer.write(head("/busy", "k", content_length=0))
        async with asyncio.timeout(5):
            while sum(one.busy for one in server.connections) < 6:
                await asyncio.sleep(0.01)
        more = list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]()
        for _ in range(3):
            more.append(await asyncio.open_connection("127.0.0.1", port))
            assert (await first(more[-1][0])).startswith(b"HTTP/1.1 503 ")
        reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=("127.0.0.2", 0))
        admission.open.set()
        writer.write(head("/other", "k", content_length=0))
        assert (await first(reader)).startswith(b"HTTP/1.1 200 ")
        for _, other in [*busy, *more, (reader, writer)]:
            other.close()
        async with asyncio.timeout(5):
            while server.connections:
                await asyncio.sleep(0.01)
        assert not server._of_address


async def test_refused_clients_that_do_not_send_their_body_make_room() -> None:
    async with served(AdmissionStub(), Limits(max_connections=3)) as (_, port):
        slow = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        for reader, writer in slow:
            writer.write(head(content_length=1000))
            assert (await first(reader)).startswith(b"HTTP/1.1 401 ")
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head("/new", "k", content_length=0))
        assert (await first(reader)).startswith(b"HTTP/1.1 200 ")
        for _, other in [*slow, (reader, writer)]:
            other.close()


async def test_a_client_that_sends_all_of_its_body_still_reads_why_it_was_refused() -> None:
    def talk(port: int) -> bytes:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
            client.sendall(head(content_length=20_000_000) + b"x" * 20_000_000)
            return client.recv(100)

    async with served(AdmissionStub()) as (_, port):
        assert (await asyncio.to_thread(talk, port)).startswith(b"HTTP/1.1 401 ")


async def test_a_client_that_closes_its_sending_side_still_gets_its_answers() -> None:
    admission = AdmissionStub()
    admission.open.clear()
    async with served(admission) as (server, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            head("/a", "k", content_length=0) + head("/b", "k", content_length=1) + b"x" + b"POST /c"
        )
        writer.write_eof()
        await asyncio.sleep(0.2)
        assert server.connections and not admission.answered
        admission.open.set()
        answers = await asyncio.wait_for(reader.read(), 5)
        assert admission.answered == [("/a", 0), ("/b", 1)]
        finals = [part for part in answers.split(b"HTTP/1.1 ") if part and not part.startswith(b"100 ")]
        assert [f[-2:] for f in finals] == [b"/a", b"/b"] and answers.startswith(b"HTTP/1.1 100 ")
        writer.close()


async def test_a_client_that_has_gone_before_its_answer_is_noticed_without_one() -> None:
    cancelled = asyncio.Event()

    class Silent(AdmissionStub):
        async def answer(self, path: str, body: bytes) -> HttpReply:
            try:
                await asyncio.sleep(60)
            finally:
                cancelled.set()
            raise AssertionError

    async with served(Silent()) as (server, port):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head("/a", "k", content_length=0))
        await asyncio.sleep(0.05)
        writer.close()
        await asyncio.wait_for(cancelled.wait(), 2)
        await asyncio.sleep(0.01)
        assert not server.connections


async def test_clients_of_http_1_0_get_no_interim_answer() -> None:
    admission = AdmissionStub()
    admission.open.clear()
    async with served(admission) as (_, port):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /old HTTP/1.0\r\nx-key: k\r\n\r\n")
        writer.write_eof()
        await asyncio.sleep(0.15)
        admission.open.set()
        answer = await asyncio.wait_for(reader.read(), 5)
        assert answer.startswith(b"HTTP/1.1 200") and answer.endswith(b"/old")
        writer.close()
