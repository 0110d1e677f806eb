"""Frames between the gateway and the worker."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deputize.core.errors import BadInput
from deputize.core.records import Prediction, Request
from deputize.specialists.serving.frames import (
    PredictReply,
    PredictRequest,
    WorkerSignals,
    pack,
    read,
    socket_folder,
)


def stream_of(data: bytes) -> asyncio.StreamReader:
    stream = asyncio.StreamReader()
    stream.feed_data(data)
    stream.feed_eof()
    return stream


@given(st.text(), st.floats(0, 1), st.integers(0, 2**40))
def test_messages_survive(text: str, confidence: float, number: int) -> None:
    async def there_and_back() -> None:
        ask = PredictRequest(
            id=number, specialist=text, request=Request(messages=[{"role": "user", "content": text}])
        )
        told = PredictReply(id=number, prediction=Prediction(answer={"a": [text]}, confidence=confidence))
        assert await read(stream_of(pack(ask)), PredictRequest) == ask
        assert await read(stream_of(pack(told)), PredictReply) == told

    asyncio.run(there_and_back())


@given(st.binary(max_size=40))
def test_noise_is_refused_or_ends_the_stream(data: bytes) -> None:
    async def go() -> None:
        with contextlib.suppress(BadInput):
            assert await read(stream_of(data), PredictRequest) is None or len(data) >= 8

    asyncio.run(go())


async def test_a_giant_frame_is_refused_before_it_is_read() -> None:
    with pytest.raises(BadInput, match="longer"):
        await read(stream_of(b"\xff\xff\xff\xff"), PredictRequest)


def test_a_home_has_a_private_folder_of_its_own(tmp_path: Path) -> None:
    one, two = socket_folder(tmp_path / "a"), socket_folder(tmp_path / "b")
    try:
        assert one != two and one == socket_folder(tmp_path / "a")
        assert one.stat().st_mode & 0o777 == 0o700
        assert len(str(one / "engine.sock")) < 100
    finally:
        one.rmdir()
        two.rmdir()


def test_totals_go_on_after_a_worker_that_has_ended_and_what_is_now_does_not() -> None:
    ended = WorkerSignals(n_waiting=9, n_loaded=9, loads=3, evictions=1, busy_s=2.0, wait_s=0.5, n_taken=10)
    now = WorkerSignals(n_waiting=1, n_loaded=2, loads=2, evictions=0, busy_s=1.0, wait_s=0.25, n_taken=4)
    assert now.after(ended) == WorkerSignals(
        n_waiting=1, n_loaded=2, loads=5, evictions=1, busy_s=3.0, wait_s=0.75, n_taken=14
    )


@pytest.mark.parametrize("number", [10**30, -(10**30), 2**64, -(2**63) - 1])
def test_an_integer_that_no_frame_holds_is_an_error_of_this_request_alone(number: int) -> None:
    asked = Request(messages=[{"role": "user", "content": "x", "n": number}])
    with pytest.raises(BadInput, match="cannot be sent"):
        pack(PredictRequest(id=1, specialist="a", request=asked))


async def test_a_frame_that_is_nested_too_deeply_is_no_frame() -> None:
    answer = b"\x91" * 20_000 + b"\xc0"
    data = b"\x82\xa2id\x01\xaaprediction\x81\xa6answer" + answer
    with pytest.raises(BadInput, match="cannot be read"):
        await read(stream_of(len(data).to_bytes(4, "big") + data), PredictReply)
