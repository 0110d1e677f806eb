"""Proxies of the environment."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.integration.gateway.test_gateway_tls import Authority, context_of

from deputize.core.errors import UpstreamError, UsageError
from deputize.http.aiohttp_client import AiohttpTransport
from deputize.http.client import Http1Transport
from deputize.http.proxy import Proxies
from deputize.http.transport import Transport

Make = Callable[..., Transport]
MAKERS = [Http1Transport, AiohttpTransport]


def test_each_scheme_has_its_proxy() -> None:
    proxies = Proxies({"HTTP_PROXY": "p:3128", "https_proxy": "http://u:p%40ss@q"})
    plain, secure = (proxies.proxy_for("h", 443, tls=tls) for tls in (False, True))
    assert plain is not None and (plain.host, plain.port, plain.authorization) == ("p", 3128, "")
    assert secure is not None and (secure.host, secure.port) == ("q", 80)
    assert secure.authorization == "Basic dTpwQHNz" and secure.url == "http://u:p%40ss@q:80"
    assert not Proxies({}) and not Proxies({"HTTP_PROXY": "p", "REQUEST_METHOD": "GET"})
    assert Proxies({"ALL_PROXY": "p"}).proxy_for("h", 80, tls=False) is not None


@pytest.mark.parametrize(
    ("host", "port", "direct"),
    [
        ("llm.example", 443, True),
        ("a.llm.example", 443, True),
        ("notllm.example", 443, False),
        ("b.example", 443, True),
        ("10.1.2.3", 443, True),
        ("11.1.2.3", 443, False),
        ("::1", 443, True),
        ("h", 8000, True),
        ("h", 8001, False),
    ],
)
def test_hosts_that_are_asked_directly(host: str, port: int, direct: bool) -> None:
    none = "llm.example, .b.example 10.0.0.0/8,[::1],h:8000"
    found = Proxies({"HTTPS_PROXY": "p", "NO_PROXY": none}).proxy_for(host, port, tls=True)
    assert (found is None) == direct
    assert Proxies({"HTTPS_PROXY": "p", "NO_PROXY": "*"}).proxy_for(host, port, tls=True) is None


@pytest.mark.parametrize("value", ["socks5://p:1080", "https://p", "p:port"])
def test_proxies_of_other_kinds_are_refused_in_words(value: str) -> None:
    with pytest.raises(UsageError, match=r"proxy that the environment names|a proxy of the kind"):
        Proxies({"HTTPS_PROXY": value})


class LoopbackProxy:
    """A proxy that notes what it was asked, and passes bytes on."""

    def __init__(self, status: str = "200 OK") -> None:
        self.asked: list[str] = []
        self.heads: list[str] = []
        self._status = status

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        method, where, _ = head.split(" ", 2)
        self.asked.append(f"{method} {where}")
        self.heads.append(head)
        if method != "CONNECT":
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nvia")
            return
        writer.write(f"HTTP/1.1 {self._status}\r\n\r\n".encode())
        if not self._status.startswith("200"):
            writer.close()
            return
        host, _, port = where.rpartition(":")
        far_reader, far_writer = await asyncio.open_connection(host, int(port))
        await asyncio.gather(_pass(reader, far_writer), _pass(far_reader, writer))


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
    except ConnectionError:
        pass
    finally:
        writer.close()


@asynccontextmanager
async def listening(
    handler: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    tls: ssl.SSLContext | None = None,
) -> AsyncIterator[int]:
    writers: list[asyncio.StreamWriter] = []
    tasks: list[asyncio.Future[None]] = []

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        tasks.append(asyncio.ensure_future(handler(reader, writer)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.transport.abort()
        await asyncio.gather(*tasks, return_exceptions=True)


async def ask(transport: Transport, url: str) -> bytes:
    try:
        response = await transport.send(
            "GET", url, [], b"", connect_timeout_s=5.0, first_byte_timeout_s=None, deadline_s=5.0
        )
        return await response.read()
    finally:
        await transport.close()


@pytest.mark.parametrize("make", MAKERS)
async def test_plain_requests_name_the_whole_address(make: Make) -> None:
    proxy = LoopbackProxy()
    async with listening(proxy) as port:
        proxies = Proxies({"HTTP_PROXY": f"http://u:p@127.0.0.1:{port}"})
        assert await ask(make(proxies=proxies), "http://llm.example/v1/x?a=1") == b"via"
    assert proxy.asked == ["GET http://llm.example/v1/x?a=1"]
    assert "basic dtpw" in proxy.heads[0].lower() and "host: llm.example" in proxy.heads[0].lower()


@pytest.mark.parametrize("make", MAKERS)
async def test_secure_requests_go_through_a_tunnel(make: Make, tmp_path: Path) -> None:
    authority = Authority(tmp_path, "made-up")

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nsafe")
        writer.close()

    server = context_of(authority.issue("127.0.0.1"))
    client = ssl.create_default_context(cafile=str(authority.ca_file))
    proxy = LoopbackProxy()
    async with listening(answer, server) as port, listening(proxy) as proxy_port:
        proxies = Proxies({"HTTPS_PROXY": f"http://127.0.0.1:{proxy_port}"})
        assert await ask(make(tls=client, proxies=proxies), f"https://127.0.0.1:{port}/v1/x") == b"safe"
    assert proxy.asked == [f"CONNECT 127.0.0.1:{port}"]


@pytest.mark.parametrize("make", MAKERS)
async def test_a_proxy_that_does_not_pass_on_is_named(make: Make) -> None:
    async with listening(LoopbackProxy("403 Forbidden")) as port:
        proxies = Proxies({"HTTPS_PROXY": f"http://127.0.0.1:{port}"})
        with pytest.raises(UpstreamError):
            await ask(make(proxies=proxies), "https://llm.example/v1/x")
