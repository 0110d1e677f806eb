"""A synchronous client that sends one question at a time to a model behind an OpenAI-compatible address."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from deputize.core.contracts import text_of
from deputize.core.errors import UpstreamError
from deputize.http.client import Http1Transport
from deputize.upstreams.upstream import Upstream
from deputize.upstreams.upstream_config import UpstreamConfig


class SyncClient:
    """Asks a model; keeps its connection between questions. Close it in the end."""

    def __init__(self, config: UpstreamConfig, model: str) -> None:
        """Raises UsageError where the upstream's key or its file of authorities is not there."""
        self.model = model
        self._runner = asyncio.Runner()
        self._transport = Http1Transport(tls=config.tls())
        self._upstream = Upstream(config, self._transport)

    def __call__(self, instruction: str, text: str) -> str:
        """The model's answer to a text under an instruction, drawn greedily; "" where it was cut off or withheld.

        Raises:
            UpstreamError: no answer that can be read.
        """
        return self._runner.run(self._ask(instruction, text))

    def close(self) -> None:
        """Closes the connection."""
        self._runner.run(self._transport.close())
        self._runner.close()

    async def _ask(self, instruction: str, text: str) -> str:
        messages = [{"role": "system", "content": instruction}, {"role": "user", "content": text}]
        body = msgspec.json.encode({"model": self.model, "messages": messages, "temperature": 0})
        headers = [("content-type", "application/json")]
        incoming = await self._upstream.send("POST", "/v1/chat/completions", headers, body)
        data = await incoming.read()
        if incoming.status != 200:
            raise UpstreamError(f"The model {self.model!r} answered with status {incoming.status}.")
        try:
            choice: dict[str, Any] = msgspec.json.decode(data)["choices"][0]
            return text_of(choice["message"]) if choice.get("finish_reason") in ("stop", None) else ""
        except (msgspec.DecodeError, LookupError, TypeError, AttributeError):
            raise UpstreamError(f"The answer of the model {self.model!r} is not a chat completion.") from None
