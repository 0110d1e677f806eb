"""Responses of which something has been read."""

from __future__ import annotations

from tests.unit.gateway.stubs import CannedResponse

from deputize.http.peeked_response import PeekedResponse, peek


async def test_what_was_looked_at_comes_again() -> None:
    response = CannedResponse(200, [("a", "b")], b"one", b"two")
    first, again = await peek(response)
    assert first == b"one" and (again.status, again.headers) == (200, [("a", "b")])
    assert await again.read() == b"onetwo"
    again.close()
    assert response.closed


async def test_an_empty_body_and_one_that_was_read() -> None:
    first, again = await peek(CannedResponse(204))
    assert first == b"" and await again.read() == b""
    assert [piece async for piece in PeekedResponse(CannedResponse(429), b"no").chunks()] == [b"no"]
