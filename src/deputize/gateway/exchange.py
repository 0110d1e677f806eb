"""One model call while it is being answered: the request, how it was routed, where it was sent, and how it ended."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from deputize.core.errors import DeputizeError, UpstreamError
from deputize.core.records import Decision, Message, Prediction, Route
from deputize.gateway.auth import Caller
from deputize.gateway.context import Context
from deputize.gateway.live_masking import MaskedRequest
from deputize.http.transport import UpstreamResponse
from deputize.upstreams.upstream import Upstream
from deputize.wire.dialect import Dialect, ReplyHead
from deputize.wire.events import Completion

CutBy = Literal["", "client", "upstream", "gateway"]
"""Who ended an answer before it was complete; "" where nobody did."""


class RoutingResult(msgspec.Struct, frozen=True):
    """Which model is to answer."""

    decision: Decision = Decision()
    route: Route | None = None
    answer: Completion | None = None
    """The specialist's answer, where it is to be served."""
    prediction: Prediction | None = None
    """The prediction behind `answer`, for an audit."""
    shadow: asyncio.Task[Prediction] | None = None
    """A specialist that is asked only to be compared."""
    compared: Route | None = None
    """The route of that specialist: `route` itself, or its challenger."""
    shadow_message: Message | None = None
    """Its answer, where that differs from the LLM's."""
    task_name: str = ""
    """Name of the task of the decision's route, where `route` is None."""


class UpstreamExchange(msgspec.Struct):
    """The way of one exchange to an upstream and back. Made once, when the upstream has been chosen."""

    upstream: Upstream
    dialect: Dialect
    """The protocol the upstream is asked in."""
    same_protocol: bool
    """Client and upstream speak the same protocol, so that bytes pass as they are."""
    answer_id: str
    """The id of the answer where the gateway writes it; "" where the upstream's own passes."""
    one_of_several: bool
    """Other upstreams could have been chosen, so it has to be known which one keeps the response."""
    adds_usage: bool = False
    """The gateway asks for token counts in the stream although the client does not."""
    response: UpstreamResponse | None = None
    body: bytes | None = None
    """The body of the response, where it has been read already."""
    model: str = ""
    """As the upstream calls it."""
    sent: bytes = b""
    """The body of the request."""
    freeform: frozenset[str] = frozenset()
    """Names of freeform tools that the upstream was given as functions."""
    tenant: str = ""
    """Whose call it is."""


class Exchange(msgspec.Struct):
    """One model call while it is being answered."""

    context: Context
    dialect: Dialect
    """The protocol of the client."""
    fields: dict[str, Any]
    """The decoded request body, as the client sent it."""
    chat: dict[str, Any]
    """The same as a chat request."""
    body: bytes
    """The bytes for an upstream of the same protocol; the client's own wherever possible."""
    headers: Mapping[str, str]
    model: str
    """As the client calls it."""
    stream: bool
    query: str = ""
    """The part of the path from its question mark on; an upstream of the same protocol gets it."""
    caller: Caller = Caller()
    outgoing: dict[str, Any] = {}
    """`body`, decoded: `fields` unless an earlier response of the gateway's had to be written out."""
    history: list[Message] = []
    """The conversation so far without instructions, for a later `previous_response_id`."""
    routing: RoutingResult = RoutingResult()
    upstream_exchange: UpstreamExchange | None = None
    """None before an upstream has answered, and where a specialist does."""
    asked: str = ""
    """Name of the upstream that was asked last."""
    earlier_origins: list[str] = msgspec.field(default_factory=list)
    """Pseudonyms of those whose words are in the conversation that the request goes on with."""
    knows_earlier: bool = False
    """The tenant has been given the earlier response that the request refers to."""
    masked: MaskedRequest | None = None
    """The request as LLMs see it, where personal data are masked."""
    sent: bool = False
    """An upstream has been asked, so that the call costs something even where no answer comes."""
    settled: bool = False
    """The call has been handed to the recorder."""

    @property
    def answer_id(self) -> str:
        """The id of an answer that the gateway writes itself."""
        return self.dialect.id_prefix + self.context.id

    @property
    def reply_head(self) -> ReplyHead:
        """The head of a reply that the gateway writes itself."""
        return ReplyHead(self.answer_id, self.model, int(self.context.arrived_at), self.fields)


class ExchangeResult(msgspec.Struct, frozen=True):
    """How an exchange ended."""

    status: int = 200
    """HTTP status of the answer; 499 where the client went away before there was one."""
    completion: Completion | None = None
    """The model's answer, as far as it came; None where none came or none could be read."""
    cut_by: CutBy = ""
    response_id: str = ""
    """The id by which the client can refer to the answer; "" where it cannot."""
    first_token_s: float | None = None
    """perf_counter seconds."""
    refused: bool = False
    """No model was asked, or the refusal is counted elsewhere: the call leaves no record."""


REFUSED = ExchangeResult(refused=True)


def result_of_error(error: BaseException) -> ExchangeResult:
    """The outcome of an exchange that ended in an error before there was an answer."""
    if isinstance(error, asyncio.CancelledError):
        return ExchangeResult(status=499, cut_by="client")
    if isinstance(error, UpstreamError):
        return ExchangeResult(status=error.http_status)
    if isinstance(error, DeputizeError):
        return REFUSED
    return ExchangeResult(status=500, cut_by="gateway")
