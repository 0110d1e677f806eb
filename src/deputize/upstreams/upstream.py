"""One HTTP server that answers LLM calls: bytes out, bytes back, nothing interpreted.

Knows nothing of routes or records. Retries, circuit breakers and fallbacks are in `upstreams.failover`.
"""

from __future__ import annotations

from deputize.core.errors import UpstreamError
from deputize.http.headers import Headers, header
from deputize.http.transport import Transport, UpstreamResponse
from deputize.upstreams import upstream_auth
from deputize.upstreams.upstream_config import UpstreamConfig, UpstreamProtocol


class Upstream:
    """A configured LLM server behind an HTTP client."""

    def __init__(self, config: UpstreamConfig, transport: Transport) -> None:
        self.config = config
        self.name = config.name
        self.protocol: UpstreamProtocol = config.protocol
        self._key = config.key()
        self._transport = transport
        root = config.base_url
        self.without_responses = False
        """True once the server has said that it has no /v1/responses."""
        self._root = root[: -len("/v1")] if root.endswith("/v1") else root

    def speaks(self, dialect: str) -> bool:
        """True where it understands requests of this protocol: chat, messages or responses."""
        if self.config.speaks:
            return dialect in self.config.speaks
        if self.protocol == "anthropic":
            return dialect == "messages"
        return dialect == "chat" or (dialect == "responses" and not self.without_responses)

    @property
    def has_key(self) -> bool:
        """True where it uses its own key instead of the client's credentials."""
        return bool(self._key)

    async def send(self, method: str, path: str, headers: Headers, body: bytes) -> UpstreamResponse:
        """Sends one request to `path` (which starts with /v1/ and may hold a query).

        Raises:
            UpstreamError, UpstreamTimeout: no answer.
        """
        if self._key:
            headers = upstream_auth.with_key(headers, self._key, self.protocol)
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
    """The error for an answer beyond the limit."""
    return UpstreamError(f"The upstream's answer is larger than {max_bytes / 1024 / 1024:g} MB.")
