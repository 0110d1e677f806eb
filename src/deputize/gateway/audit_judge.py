"""The judge of audits: whether a specialist's text serves no worse than the LLM's, asked of an LLM in both orders."""

from __future__ import annotations

import msgspec

from deputize.core.contracts import text_of
from deputize.core.errors import DeputizeError, UpstreamError
from deputize.core.judging import INSTRUCTION, is_no_worse, question, verdict_of
from deputize.core.records import Message
from deputize.gateway.live_masking import LiveMasker
from deputize.upstreams.upstream import Upstream

_encode = msgspec.json.Encoder().encode


class AuditJudge:
    """Asks one model of one server."""

    def __init__(self, upstream: Upstream, model: str, masker: LiveMasker | None = None) -> None:
        """
        Args:
            upstream: the server.
            model: its name there.
            masker: masks personal data in what is asked; None: it is asked as it is.
        """
        self._upstream, self.model, self._masker = upstream, model, masker

    async def no_worse(self, messages: list[Message], answer: str, told: str) -> bool | None:
        """True where an answer serves no worse than the LLM's in both orders; None where the judge says nothing.

        Args:
            messages: of the request.
            answer: the specialist's text.
            told: the LLM's.
        """
        for first, second, answer_is_first in ((told, answer, False), (answer, told, True)):
            asked = question(messages, first, second)
            try:
                verdict = verdict_of(await self._ask(asked)) if asked else None
            except (DeputizeError, OSError):
                return None
            if verdict is None:
                return None
            if not is_no_worse(verdict, answer_is_first=answer_is_first):
                return False
        return True

    async def _ask(self, text: str) -> str:
        messages = [{"role": "system", "content": INSTRUCTION}, {"role": "user", "content": text}]
        fields = {"model": self.model, "messages": messages, "temperature": 0}
        body = _encode(fields)
        if self._masker is not None:  # a verdict needs no values, so nothing is put back
            body = (await self._masker.mask(fields, body)).body
        incoming = await self._upstream.send(
            "POST", "/v1/chat/completions", [("content-type", "application/json")], body
        )
        data = await incoming.read()
        if incoming.status != 200:
            raise UpstreamError(f"The judge {self.model!r} answered with status {incoming.status}.")
        try:
            return text_of(msgspec.json.decode(data)["choices"][0]["message"])
        except (msgspec.DecodeError, LookupError, TypeError, AttributeError):
            raise UpstreamError(f"The answer of the judge {self.model!r} is not a chat completion.") from None
