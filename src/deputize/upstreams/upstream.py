"""One HTTP server that answers LLM calls: bytes out, bytes back, nothing interpreted.

Knows nothing of routes or records. Retrying, breaking and falling back live in `engines.upstreams`.
"""

from __future__ import annotations

import asyncio
import io
import os
import ssl
from collections.abc import AsyncIterator, Mapping
from typing import Literal, Protocol
from urllib.parse import urlsplit

import aiohttp
from multidict import CIMultiDict
from pydantic import BaseModel, ConfigDict, Field, field_validator
from yarl import URL

from deputize.core.errors import UpstreamError, UpstreamTimeout, UsageError
from deputize.upstreams import anthropic, openai

Headers = list[tuple[str, str]]
Protocol_ = Literal["openai", "anthropic"]
_LARGE_BYTES = 256 * 1024


class UpstreamConfig(BaseModel):
    """One named upstream, as in `[[gateway.upstreams]]` of config.toml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = "default"
    base_url: str
    protocol: Protocol_ = "openai"
    api_key_env: str = ""
    """Environment variable with the upstream's key; empty: the client's own credentials travel on."""
    api_key_file: str = ""
    """File with the upstream's key, instead of the environment."""
    ca_file: str = ""
    """File with the authorities that its https certificate is checked against; empty: the system's."""
    models: dict[str, str] = Field(default_factory=dict)
    """Model asked for -> model at this upstream; a pattern may end in `*`. Empty: takes every model as it is."""
    speaks: tuple[Literal["chat", "responses", "messages"], ...] = ()
    """Protocols it can be asked in; empty: by `protocol` (openai: chat, and responses until it says that it has none)."""
    connect_timeout_s: float = Field(default=10.0, gt=0)
    deadline_s: float = Field(default=600.0, gt=0)
    """For a whole answer, stream included; there is no idle limit, since a model may think."""
    first_byte_timeout_s: float | None = Field(default=None, gt=0)
    """For the head of an answer; None: the deadline alone counts."""

    @field_validator("base_url")
    @classmethod
    def _check_url(cls, value: str) -> str:
        parts = urlsplit(value)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("must be an http:// or https:// address")
        return value.rstrip("/")

    def key(self) -> str:
        """The upstream's key, "" where the client's credentials are to be used.

        Raises:
            UsageError: the variable or file it is to come from is not there.
        """
        if self.api_key_env:
            value = os.environ.get(self.api_key_env, "")
            if not value:
                raise UsageError(
                    f"The key of upstream {self.name!r} should be in ${self.api_key_env}, which is not set."
                )
            return value
        if self.api_key_file:
            try:
                with open(self.api_key_file, encoding="utf-8") as file:  # noqa: PTH123 - read once at start
                    return file.read().strip()
            except OSError as error:
                raise UsageError(
                    f"The key file of upstream {self.name!r} cannot be read: {error.strerror} ({self.api_key_file})."
                ) from error
        return ""

    def tls(self) -> ssl.SSLContext | None:
        """How its certificate is checked; None: by the system's authorities.

        Raises:
            UsageError: the file of authorities cannot be used.
        """
        if not self.ca_file:
            return None
        try:
            return ssl.create_default_context(cafile=self.ca_file)
        except OSError as error:  # SSLError is one: no certificate in the file
            why = "it holds no certificate" if isinstance(error, ssl.SSLError) else error.strerror
            raise UsageError(
                f"The ca_file of upstream {self.name!r} cannot be used: {why} ({self.ca_file})."
            ) from error

    def model_for(self, model: str) -> str | None:
        """The name of `model` at this upstream, None where it does not take it."""
        if not self.models:
            return model
        if model in self.models:
            return self.models[model]
        for pattern, target in self.models.items():
            if pattern.endswith("*") and model.startswith(pattern[:-1]):
                return model if target == "*" else target
        return None


class UpstreamResponse(Protocol):
    """An upstream's answer whose body has not been read yet."""

    status: int
    headers: Headers

    async def read(self) -> bytes:
        """The whole body. Raises UpstreamError when it breaks off."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives, one piece per read. Raises UpstreamError when it breaks off."""
        ...

    def close(self) -> None:
        """Gives the connection up; cancels an answer that is still coming."""
        ...


class Transport(Protocol):
    """The small interface an HTTP client library sits behind."""

    async def send(
        self,
        method: str,
        url: str,
        headers: Headers,
        body: bytes,
        *,
        connect_timeout_s: float,
        first_byte_timeout_s: float | None,
        deadline_s: float,
    ) -> UpstreamResponse: ...

    async def close(self) -> None: ...


class _AiohttpIncoming:
    __slots__ = ("_deadline", "_response", "_where", "headers", "status")

    def __init__(self, response: aiohttp.ClientResponse, where: str, deadline: float) -> None:
        self._response = response
        self._where = where
        self._deadline = deadline
        self.status = response.status
        self.headers: Headers = [
            (k.decode("latin-1").lower(), v.decode("latin-1")) for k, v in response.raw_headers
        ]

    async def read(self) -> bytes:
        try:
            return await self._response.read()
        except TimeoutError as error:
            raise UpstreamTimeout(f"{self._where} did not finish its answer in time.") from error
        except (aiohttp.ClientError, OSError) as error:
            raise UpstreamError(f"{self._where} broke off its answer.") from error

    async def chunks(self) -> AsyncIterator[bytes]:
        content = self._response.content
        try:
            while True:
                # per read, never per fixed size: small frames must not wait for big ones
                chunk = await content.readany()
                if not chunk:
                    return
                yield chunk
        except TimeoutError as error:
            raise UpstreamTimeout(f"{self._where} did not finish its answer in time.") from error
        except (aiohttp.ClientError, OSError) as error:
            raise UpstreamError(f"{self._where} broke off its answer.") from error

    def close(self) -> None:
        self._response.close()


class AiohttpTransport:
    """aiohttp: keep-alive, no cookies, no decompression, no redirects."""

    def __init__(self, *, tls: ssl.SSLContext | None = None) -> None:
        """
        Args:
            tls: how https servers are checked; None: the system's authorities.
        """
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None
        self._targets: dict[str, tuple[URL, str]] = {}
        self._timeouts: dict[tuple[float, float], aiohttp.ClientTimeout] = {}

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=0, keepalive_timeout=60, ttl_dns_cache=60, ssl=self._tls or True
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
                read_bufsize=256 * 1024,
                max_line_size=64 * 1024,
                max_field_size=64 * 1024,
            )
        return self._session

    async def send(
        self,
        method: str,
        url: str,
        headers: Headers,
        body: bytes,
        *,
        connect_timeout_s: float,
        first_byte_timeout_s: float | None,
        deadline_s: float,
    ) -> UpstreamResponse:
        """Sends one request and waits for the head of the answer.

        Raises:
            UpstreamTimeout: no connection or no head in time.
            UpstreamError: no connection, or not HTTP.
        """
        target = self._targets.get(url)
        if target is None:
            if len(self._targets) > 1000:
                self._targets.clear()
            target = self._targets[url] = (URL(url, encoded=True), f"The upstream at {host_of(url)}")
        where = target[1]
        key = (connect_timeout_s, deadline_s)
        timeout = self._timeouts.get(key)
        if timeout is None:
            timeout = aiohttp.ClientTimeout(total=deadline_s, sock_connect=connect_timeout_s)
            self._timeouts[key] = timeout
        try:
            sending = self._open().request(
                method,
                target[0],
                data=_payload(body),
                headers=CIMultiDict(headers),
                timeout=timeout,
                allow_redirects=False,
            )
            if first_byte_timeout_s is None:
                response = await sending
            else:
                async with asyncio.timeout(first_byte_timeout_s):
                    response = await sending
        except TimeoutError as error:
            raise UpstreamTimeout(f"{where} did not answer in time.") from error
        except aiohttp.ClientConnectorCertificateError as error:
            why = getattr(error.certificate_error, "verify_message", "") or "no secure connection"
            raise UpstreamError(f"{where} cannot be reached safely: {why}.") from error
        except aiohttp.ClientConnectorError as error:
            raise UpstreamError(
                f"{where} cannot be reached: {error.os_error.strerror or 'no connection'}."
            ) from error
        except aiohttp.ServerDisconnectedError as error:
            raise UpstreamError(f"{where} closed the connection without an answer.") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise UpstreamError(f"{where} did not answer in HTTP ({type(error).__name__}).") from error
        return _AiohttpIncoming(response, where, deadline_s)

    async def close(self) -> None:
        """Closes every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None


def _payload(body: bytes) -> bytes | io.BytesIO | None:
    """Large bodies are written piece by piece, so that one prompt does not hold up every other call."""
    return io.BytesIO(body) if len(body) > _LARGE_BYTES else body or None


def host_of(url: str) -> str:
    """Host and port of an address, without user names or paths that might hold secrets."""
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.hostname}{port}"


class Upstream:
    """A configured upstream behind a transport."""

    def __init__(self, config: UpstreamConfig, transport: Transport) -> None:
        self.config = config
        self.name = config.name
        self.protocol: Protocol_ = config.protocol
        self._key = config.key()
        self._transport = transport
        root = config.base_url
        self.without_responses = False
        """Learnt: this server has no /v1/responses."""
        self._root = root[: -len("/v1")] if root.endswith("/v1") else root

    def speaks(self, dialect: str) -> bool:
        """Whether it can be asked in this protocol."""
        if self.config.speaks:
            return dialect in self.config.speaks
        if self.protocol == "anthropic":
            return dialect == "messages"
        return dialect == "chat" or (dialect == "responses" and not self.without_responses)

    @property
    def has_key(self) -> bool:
        """Whether it uses its own key instead of the client's credentials."""
        return bool(self._key)

    async def send(self, method: str, path: str, headers: Headers, body: bytes) -> UpstreamResponse:
        """Sends one request to `path` (which starts with /v1/ and may hold a query).

        Raises:
            UpstreamError, UpstreamTimeout: no answer.
        """
        if self._key:
            authorise = anthropic.authorise if self.protocol == "anthropic" else openai.authorise
            headers = authorise(headers, self._key)
        config = self.config
        return await self._transport.send(
            method,
            self._root + path,
            headers,
            body,
            connect_timeout_s=config.connect_timeout_s,
            first_byte_timeout_s=config.first_byte_timeout_s,
            deadline_s=config.deadline_s,
        )


def header(headers: Headers, name: str, default: str = "") -> str:
    """The first value of a header, by its lower-case name."""
    for key, value in headers:
        if key == name:
            return value
    return default


async def read_bounded(incoming: UpstreamResponse, max_bytes: int) -> bytes:
    """The whole body of an answer.

    Raises:
        UpstreamError: it is larger than `max_bytes`, or breaks off.
    """
    declared = header(incoming.headers, "content-length")
    if declared.isdigit() and int(declared) <= max_bytes:
        return await incoming.read()
    pieces: list[bytes] = []
    n_bytes = 0
    async for piece in incoming.chunks():
        n_bytes += len(piece)
        if n_bytes > max_bytes:
            raise too_large(max_bytes)
        pieces.append(piece)
    return b"".join(pieces)


def too_large(max_bytes: int) -> UpstreamError:
    """What is raised about an answer beyond the limit."""
    return UpstreamError(f"The upstream's answer is larger than {max_bytes / 1024 / 1024:g} MB.")


def as_mapping(headers: Headers) -> Mapping[str, str]:
    """Headers as a mapping; several of one name are joined by ", "."""
    out: dict[str, str] = {}
    for name, value in headers:
        out[name] = f"{out[name]}, {value}" if name in out else value
    return out
