"""A scripted upstream and a running gateway in front of it, over real sockets."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import openai
import pytest
from anthropic import AsyncAnthropic
from tests.integration.gateway.upstream import LoopbackUpstream, loopback_upstream

from deputize.core.records import Call
from deputize.gateway.launch import running_gateway
from deputize.gateway.settings import settings_for
from deputize.home import Home


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
async def upstream() -> AsyncIterator[LoopbackUpstream]:
    async with loopback_upstream() as running:
        yield running


@pytest.fixture
async def gateway(home: Path, upstream: LoopbackUpstream) -> AsyncIterator[str]:
    """The base URL (without /v1) of a gateway in front of `upstream`, which is asked in OpenAI's protocol."""
    settings = settings_for(home, upstream.base_url)
    settings = settings.model_copy(update={"retry": settings.retry.model_copy(update={"base_s": 0.01})})
    async with running_gateway(home, settings=settings) as base_url:
        yield base_url


@pytest.fixture
async def anthropic_gateway(home: Path, upstream: LoopbackUpstream) -> AsyncIterator[str]:
    """The same with an upstream that is asked in Anthropic's protocol."""
    settings = settings_for(home, f"anthropic+{upstream.base_url}")
    settings = settings.model_copy(update={"retry": settings.retry.model_copy(update={"base_s": 0.01})})
    async with running_gateway(home, settings=settings) as base_url:
        yield base_url


@pytest.fixture
async def chat_client(gateway: str) -> AsyncIterator[openai.AsyncOpenAI]:
    async with openai.AsyncOpenAI(base_url=f"{gateway}/v1", api_key="sk-client", max_retries=0) as client:
        yield client


@pytest.fixture
async def claude_client(anthropic_gateway: str) -> AsyncIterator[AsyncAnthropic]:
    """Anthropic's client in front of an Anthropic upstream."""
    async with AsyncAnthropic(base_url=anthropic_gateway, api_key="sk-ant", max_retries=0) as client:
        yield client


@pytest.fixture
async def claude_on_openai(gateway: str) -> AsyncIterator[AsyncAnthropic]:
    """Anthropic's client in front of an OpenAI upstream."""
    async with AsyncAnthropic(base_url=gateway, api_key="sk-ant", max_retries=0) as client:
        yield client


@pytest.fixture
async def openai_on_claude(anthropic_gateway: str) -> AsyncIterator[openai.AsyncOpenAI]:
    """OpenAI's client in front of an Anthropic upstream."""
    async with openai.AsyncOpenAI(
        base_url=f"{anthropic_gateway}/v1", api_key="sk-c", max_retries=0
    ) as client:
        yield client


@pytest.fixture
def recorded(home: Path) -> Callable[[int], list[Call]]:
    """Reads the store until it holds `n` calls."""

    def read(n: int, timeout_s: float = 5.0) -> list[Call]:
        deadline = time.monotonic() + timeout_s
        store = Home(home).open_store()
        try:
            while store.count() < n and time.monotonic() < deadline:
                time.sleep(0.01)
            calls = list(store.calls())
        finally:
            store.close()
        assert len(calls) == n, f"{len(calls)} calls in the store, expected {n}"
        return calls

    return read
