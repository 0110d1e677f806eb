"""The client of the process behind /ui; test_gateway_ui asks it through the gateway."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from deputize.core.errors import OverLimit, RequestTooLarge
from deputize.gateway.page_process import MAX_BODY_BYTES, MAX_WAITING, PageProcess


async def test_the_process_begins_with_the_first_request_and_ends_when_nobody_asks(tmp_path: Path) -> None:
    pages = PageProcess(tmp_path, is_https=False, idle_s=0.5)
    assert not pages.is_running
    reply = await pages.answer("GET", "/ui", {"host": "a"}, b"")
    assert reply.status == 200 and pages.is_running
    async with asyncio.timeout(20):
        while pages.is_running:
            await asyncio.sleep(0.05)
    asked = [asyncio.ensure_future(pages.answer("GET", "/ui", {}, b"")) for _ in range(MAX_WAITING + 1)]
    done = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(one) for one in done if isinstance(one, Exception)] == [OverLimit]
    await pages.stop()
    assert not pages.is_running


def test_a_large_body_is_refused_by_its_head(tmp_path: Path) -> None:
    pages = PageProcess(tmp_path, is_https=False)
    for headers in (
        {"content-length": str(MAX_BODY_BYTES + 1)},
        {"transfer-encoding": "chunked"},
        {"content-length": "x"},
    ):
        with pytest.raises(RequestTooLarge):
            pages.admit("POST", "/ui/sign-in", headers, lambda status: None)
