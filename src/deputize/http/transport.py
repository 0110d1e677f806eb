"""The interface of HTTP clients, and the errors that all of them raise in the same words."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol

from deputize.core.errors import UpstreamError, UpstreamTimeout
from deputize.http.headers import Headers


class UpstreamResponse(Protocol):
    """A response whose body has not been read yet."""

    status: int
    headers: Headers

    async def read(self) -> bytes:
        """The whole body. Raises UpstreamError when it breaks off."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it arrives, one piece per read. Raises UpstreamError when it breaks off."""
        ...

    def close(self) -> None:
        """Releases the connection; cancels a response that is still coming."""
        ...


class UnreadResponse(UpstreamResponse, Protocol):
    """A response of which nothing has been read."""

    async def wait_for_piece(self, until_s: float) -> bool:
        """Waits until a piece of the body, its end or its failure has come; nothing is read.

        Args:
            until_s: by the clock of the event loop.

        Returns:
            False where none has come by then; it may still be read.
        """
        ...


class Transport(Protocol):
    """An HTTP client."""

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
    ) -> UnreadResponse:
        """Sends one request and waits for the head of the response.

        Raises:
            UpstreamTimeout: no connection or no head in time.
            UpstreamError: no connection, or not HTTP.
        """
        ...

    async def close(self) -> None:
        """Closes idle connections."""
        ...


# `where` is the `Target.where` of a request: "The upstream at host:port"


def no_answer_in_time(where: str) -> UpstreamTimeout:
    return UpstreamTimeout(f"{where} did not answer in time.")


def not_connected_in_time(where: str) -> UpstreamTimeout:
    return UpstreamTimeout(f"{where} did not answer in time.", asked=False)


def not_finished_in_time(where: str) -> UpstreamTimeout:
    return UpstreamTimeout(f"{where} did not finish its answer in time.")


def broke_off(where: str) -> UpstreamError:
    return UpstreamError(f"{where} broke off its answer.")


def unreachable(where: str, reason: str | None) -> UpstreamError:
    return UpstreamError(f"{where} cannot be reached: {reason or 'no connection'}.")


def not_secure(where: str, error: Exception) -> UpstreamError:
    why = getattr(error, "verify_message", "") or getattr(error, "reason", "") or "no secure connection"
    return UpstreamError(f"{where} cannot be reached safely: {why}.")
