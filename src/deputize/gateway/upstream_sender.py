"""Sends an exchange to an upstream, in the client's protocol or translated."""

from __future__ import annotations

from collections.abc import Sequence

from deputize.core.errors import BadInput, UpstreamError
from deputize.gateway.conversations import check_references
from deputize.gateway.exchange import Exchange, UpstreamExchange
from deputize.gateway.live_masking import LiveMasker
from deputize.gateway.metrics import Metrics
from deputize.gateway.refused_fields import REFUSAL_STATUS, refused_field
from deputize.gateway.translate import request_for
from deputize.gateway.upstream_errors import lacks_endpoint, plain_body
from deputize.http.headers import Headers, header
from deputize.upstreams.failover import UpstreamPool
from deputize.upstreams.upstream import Upstream, read_bounded
from deputize.wire.chat_request import pinned_reason
from deputize.wire.dialect import Dialect
from deputize.wire.registry import DIALECTS, RESPONSES

_NO_ENDPOINT = (404, 405, 501)
_SHORT_BYTES = 1024
"""Some servers answer 200 at paths that they do not have; their error is no longer than this."""


class UpstreamSender:
    """Chooses an upstream for each exchange and sends it there."""

    def __init__(
        self,
        upstreams: UpstreamPool,
        metrics: Metrics,
        *,
        ask_for_usage: bool,
        max_answer_bytes: int,
        masker: LiveMasker | None = None,
    ) -> None:
        """
        Args:
            masker: masks personal data in what is sent; None: requests are sent as they are.
        """
        self._upstreams, self._metrics, self._masker = upstreams, metrics, masker
        self._ask_for_usage, self._max_answer_bytes = ask_for_usage, max_answer_bytes

    async def send(self, exchange: Exchange, pinned_upstream: str = "") -> UpstreamExchange:
        """Sends to the first upstream that answers; the exchange with it, with a response whose body has not been read.

        Args:
            pinned_upstream: the upstream that keeps an earlier response which the request refers to; "" where none
                does.

        Raises:
            BadInput: no upstream takes the model, or can be asked this.
            UpstreamError: none answered.
            MaskingFailed: its personal data could not be masked, so it was not sent.
        """
        if self._masker is not None and exchange.masked is None:
            origin = exchange.context.origin
            exchange.masked = await self._masker.mask(exchange.outgoing, exchange.body, end_user=origin)
        eligible = self._upstreams.taking(exchange.model)
        if pinned_upstream:
            eligible = [u for u in eligible if u.name == pinned_upstream] or eligible
        upstream_exchange = await self._send_adapted(exchange, eligible)
        if upstream_exchange.dialect is not RESPONSES or not await self._lacks_responses(upstream_exchange):
            return upstream_exchange
        if pinned_reason(exchange.outgoing) is not None:
            return upstream_exchange  # what it refers to is nowhere else
        try:
            second = await self._send_adapted(exchange, [upstream_exchange.upstream], avoid=RESPONSES)
        except BadInput:
            return upstream_exchange
        assert second.response is not None
        if second.response.status in _NO_ENDPOINT:  # it is the model that is missing, not the path
            second.response.close()
            exchange.upstream_exchange = upstream_exchange
            return upstream_exchange
        # a server of the chat protocol only: remembered, and translated for from now on
        upstream_exchange.upstream.without_responses = True
        return second

    async def _send_adapted(
        self, exchange: Exchange, eligible: Sequence[Upstream], avoid: Dialect | None = None
    ) -> UpstreamExchange:
        """Sends, and once more for each field of the gateway's own that the server refuses; it is remembered for the
        model."""
        while True:
            upstream_exchange = await self._send(exchange, eligible, avoid)
            assert upstream_exchange.response is not None
            if upstream_exchange.response.status not in REFUSAL_STATUS or not (
                upstream_exchange.adds_usage or not upstream_exchange.same_protocol
            ):
                return upstream_exchange
            upstream_exchange.body = await self.read(upstream_exchange)
            refused = upstream_exchange.upstream.refused.setdefault(upstream_exchange.model, set())
            field = refused_field(
                plain_body(upstream_exchange.response, upstream_exchange.body),
                upstream_exchange.sent,
                model=upstream_exchange.model,
                refused=refused,
                translated=not upstream_exchange.same_protocol,
            )
            if field is None:
                return upstream_exchange
            refused.add(field)
            eligible = [upstream_exchange.upstream]

    async def _lacks_responses(self, upstream_exchange: UpstreamExchange) -> bool:
        """True where the server answers that it has no endpoint for responses."""
        response = upstream_exchange.response
        assert response is not None
        status = response.status
        if status == 200 and header(response.headers, "content-type").startswith("application/json"):
            n_bytes = header(response.headers, "content-length")
            if not n_bytes.isdigit() or int(n_bytes) > _SHORT_BYTES:
                return False
        elif status not in _NO_ENDPOINT:
            return False
        if upstream_exchange.body is None:
            upstream_exchange.body = await self.read(upstream_exchange)
        return lacks_endpoint(status, plain_body(response, upstream_exchange.body))

    async def _send(
        self, exchange: Exchange, eligible: Sequence[Upstream], avoid: Dialect | None = None
    ) -> UpstreamExchange:
        upstream_exchange: UpstreamExchange | None = None

        def prepare(upstream: Upstream) -> tuple[str, Headers, bytes]:
            nonlocal upstream_exchange
            upstream_exchange = upstream_exchange_with(
                upstream, exchange, one_of_several=len(eligible) > 1, avoid=avoid
            )
            exchange.asked = upstream.name
            return request_for(upstream_exchange, exchange, ask_for_usage=self._ask_for_usage)

        exchange.sent = True
        may_repeat = "idempotency-key" in exchange.headers
        answer = await self._upstreams.send(
            "POST",
            eligible,
            prepare,
            model=exchange.model,
            may_repeat=may_repeat,
            stream=exchange.stream,
        )
        assert upstream_exchange is not None and upstream_exchange.upstream is answer.upstream, (
            "it was the last one prepared for"
        )
        upstream_exchange.response = answer.incoming
        if exchange.masked is not None:
            upstream_exchange.response = exchange.masked.restored(answer.incoming, self._max_answer_bytes)
        exchange.upstream_exchange = upstream_exchange
        return upstream_exchange

    async def read(self, upstream_exchange: UpstreamExchange) -> bytes:
        """The whole body of a response.

        Raises:
            UpstreamError: it is too large, or breaks off; this is counted.
        """
        if upstream_exchange.body is not None:
            return upstream_exchange.body
        assert upstream_exchange.response is not None
        try:
            return await read_bounded(upstream_exchange.response, self._max_answer_bytes)
        except UpstreamError:
            labels = (("by", "upstream"), ("tenant", upstream_exchange.tenant))
            self._metrics.add("deputize_aborted_total", labels)
            raise
        finally:
            upstream_exchange.response.close()


def upstream_exchange_with(
    upstream: Upstream, exchange: Exchange, *, one_of_several: bool, avoid: Dialect | None = None
) -> UpstreamExchange:
    """The exchange with an upstream: in the client's protocol where it speaks that, so that bytes pass as they are.

    Raises:
        BadInput: it speaks no protocol that is known here, or the request refers to what another tenant was given.
    """
    dialect, tenant = exchange.dialect, exchange.context.tenant
    if upstream.speaks(dialect.name) and dialect is not avoid:
        if dialect is RESPONSES and upstream.has_key and exchange.caller.key is not None:
            check_references(exchange)
        return UpstreamExchange(upstream, dialect, True, "", one_of_several, tenant=tenant)
    for other in DIALECTS if dialect in DIALECTS else ():
        if upstream.speaks(other.name) and other is not avoid:
            return UpstreamExchange(upstream, other, False, exchange.answer_id, one_of_several, tenant=tenant)
    raise BadInput(f"Upstream {upstream.name!r} speaks no protocol that {dialect.path} can be translated to.")
