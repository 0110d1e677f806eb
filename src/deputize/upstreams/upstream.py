"""One HTTP server that answers LLM calls: bytes out, bytes back, nothing interpreted.

Knows nothing of routes or records. Retries, circuit breakers and fallbacks are in `upstreams.failover`.
"""

from __future__ import annotations

from deputize.core.errors import UpstreamError
from deputize.http.headers import Headers, header
from deputize.http.transport import Transport, UnreadResponse, UpstreamResponse
from deputize.upstreams import upstream_auth
from deputize.upstreams.upstream_address import UpstreamAddress
from deputize.upstreams.upstream_config import UpstreamConfig, UpstreamProtocol


class Upstream:
    """A configured LLM server behind an HTTP client."""

    def __init__(self, config: UpstreamConfig, transport: Transport) -> None:
        self.config = config
        self.name = config.name
        self.protocol: UpstreamProtocol = config.protocol
        self._key = config.key()
        self._transport = transport
        self._address = UpstreamAddress(
            config.base_url, anthropic=config.protocol == "anthropic", version=config.version_path
        )
        self.without_responses = False
        """True once the server has said that it has no /v1/responses."""
        self.refused: dict[str, set[str]] = {}
        """Model -> fields of the gateway's own that the server has refused for it."""

    def speaks(self, dialect: str) -> bool:
        """True where it is asked in this protocol: chat, messages, responses, or decisions of either kind."""
        if dialect in ("decisions", "systemone"):  # asked of every server that is none of Anthropic's
            return self.protocol == "openai"
        if self.config.speaks:
            return dialect in self.config.speaks
        if self.protocol == "anthropic":
            return dialect == "messages"
        if self._address.has_deployments:
            return dialect == "chat"
        return dialect == "chat" or (dialect == "responses" and not self.without_responses)

    @property
    def has_key(self) -> bool:
        """True where it uses its own key instead of the client's credentials."""
        return bool(self._key)

    async def send(
        self, method: str, path: str, headers: Headers, body: bytes, *, model: str = "", spent_s: float = 0.0
    ) -> UnreadResponse:
        """Sends one request.

        Args:
            method: of HTTP.
            path: starts with /v1/ and may hold a query.
            headers: lower-case names.
            body: as it is sent.
            model: this server's name of the model, where its address holds one.
            spent_s: time that other attempts have taken of the deadline.

        Raises:
            UpstreamError, UpstreamTimeout: no answer.
        """
        azure = self._address.is_azure
        if self._key:
            headers = upstream_auth.with_key(headers, self._key, "azure" if azure else self.protocol)
        elif azure or self.protocol == "openai":
            headers = upstream_auth.with_client_key_of(headers, azure=azure)
        config = self.config
        return await self._transport.send(
            method,
            self._address.url(path, model),
            headers,
            body,
            connect_timeout_s=config.connect_timeout_s,
            first_byte_timeout_s=config.first_byte_timeout_s,
            deadline_s=config.deadline_s - spent_s,
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
