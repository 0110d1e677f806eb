"""A synchronous client that sends one question at a time to a model behind an OpenAI-compatible address."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec

from deputize.core.contracts import text_of
from deputize.core.errors import UpstreamError
from deputize.core.records import Request
from deputize.http.client import Http1Transport
from deputize.upstreams.upstream import Upstream
from deputize.upstreams.upstream_config import UpstreamConfig
from deputize.wire.chat_parser import parse_reply
from deputize.wire.chat_request import from_chat
from deputize.wire.events import Completion


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
        messages = [{"role": "system", "content": instruction}, {"role": "user", "content": text}]
        reply = self._runner.run(self._send({"messages": messages, "temperature": 0}))
        return text_of(reply.message) if reply.finish_reason in ("stop", "") else ""

    def complete(self, request: Request) -> Completion:
        """The model's reply to a whole request: conversation, tools and answer format.

        Raises:
            UpstreamError: no answer that can be read.
        """
        shown = {
            "messages": request.messages,
            "tools": request.tools,
            "response_format": request.response_format,
            "tool_choice": request.tool_choice,
        }
        return self._runner.run(self._send(from_chat({k: v for k, v in shown.items() if v is not None})))

    def close(self) -> None:
        """Closes the connection."""
        self._runner.run(self._transport.close())
        self._runner.close()

    async def _send(self, fields: dict[str, Any]) -> Completion:
        body = msgspec.json.encode({"model": self.model, **fields})
        headers = [("content-type", "application/json")]
        incoming = await self._upstream.send("POST", "/v1/chat/completions", headers, body)
        data = await incoming.read()
        if incoming.status != 200:
            raise UpstreamError(f"The model {self.model!r} answered with status {incoming.status}.")
        try:
            value = msgspec.json.decode(data)
            value["choices"][0]["message"].keys()
        except (msgspec.DecodeError, LookupError, TypeError, AttributeError):
            raise UpstreamError(f"The answer of the model {self.model!r} is not a chat completion.") from None
        return parse_reply(value)
