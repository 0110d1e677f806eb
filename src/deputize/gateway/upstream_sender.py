"""Sends an exchange to an upstream, in the client's protocol or translated."""

from __future__ import annotations

from collections.abc import Sequence

from deputize.core.errors import BadInput, UpstreamError
from deputize.gateway.conversations import check_references
from deputize.gateway.exchange import Exchange, Leg
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
        self, upstreams: UpstreamPool, metrics: Metrics, *, ask_for_usage: bool, max_answer_bytes: int
    ) -> None:
        self._upstreams, self._metrics = upstreams, metrics
        self._ask_for_usage, self._max_answer_bytes = ask_for_usage, max_answer_bytes

    async def send(self, exchange: Exchange, keeper: str = "") -> Leg:
        """Sends to the first upstream that answers; the leg, with a response whose body has not been read.

        Args:
            keeper: the upstream that keeps an earlier response which the request refers to; "" where none does.

        Raises:
            BadInput: no upstream takes the model, or can be asked this.
            UpstreamError: none answered.
        """
        candidates = self._upstreams.taking(exchange.model)
        if keeper:
            candidates = [u for u in candidates if u.name == keeper] or candidates
        leg = await self._send_adapted(exchange, candidates)
        if leg.dialect is not RESPONSES or not await self._lacks_responses(leg):
            return leg
        if pinned_reason(exchange.outgoing) is not None:
            return leg  # what it refers to is nowhere else
        try:
            second = await self._send_adapted(exchange, [leg.upstream], avoid=RESPONSES)
        except BadInput:
            return leg
        assert second.response is not None
        if second.response.status in _NO_ENDPOINT:  # it is the model that is missing, not the path
            second.response.close()
            exchange.leg = leg
            return leg
        # a server of the chat protocol only: remembered, and translated for from now on
        leg.upstream.without_responses = True
        return second

    async def _send_adapted(
        self, exchange: Exchange, candidates: Sequence[Upstream], avoid: Dialect | None = None
    ) -> Leg:
        """Sends, and once more for each field of the gateway's own that the server refuses; it is remembered for the
        model."""
        while True:
            leg = await self._send(exchange, candidates, avoid)
            assert leg.response is not None
            if leg.response.status not in REFUSAL_STATUS or not (leg.adds_usage or not leg.same_protocol):
                return leg
            leg.body = await self.read(leg)
            refused = leg.upstream.refused.setdefault(leg.model, set())
            field = refused_field(
                plain_body(leg.response, leg.body),
                leg.sent,
                model=leg.model,
                refused=refused,
                translated=not leg.same_protocol,
            )
            if field is None:
                return leg
            refused.add(field)
            candidates = [leg.upstream]

    async def _lacks_responses(self, leg: Leg) -> bool:
        """True where the server answers that it has no endpoint for responses."""
        response = leg.response
        assert response is not None
        status = response.status
        if status == 200 and header(response.headers, "content-type").startswith("application/json"):
            n_bytes = header(response.headers, "content-length")
            if not n_bytes.isdigit() or int(n_bytes) > _SHORT_BYTES:
                return False
        elif status not in _NO_ENDPOINT:
            return False
        if leg.body is None:
            leg.body = await self.read(leg)
        return lacks_endpoint(status, plain_body(response, leg.body))

    async def _send(
        self, exchange: Exchange, candidates: Sequence[Upstream], avoid: Dialect | None = None
    ) -> Leg:
        leg: Leg | None = None

        def prepare(upstream: Upstream) -> tuple[str, Headers, bytes]:
            nonlocal leg
            leg = leg_to(upstream, exchange, one_of_several=len(candidates) > 1, avoid=avoid)
            exchange.asked = upstream.name
            return request_for(leg, exchange, ask_for_usage=self._ask_for_usage)

        exchange.sent = True
        may_repeat = "idempotency-key" in exchange.headers
        answer = await self._upstreams.send(
            "POST", candidates, prepare, model=exchange.model, may_repeat=may_repeat
        )
        assert leg is not None and leg.upstream is answer.upstream, "it was the last one prepared for"
        leg.response = answer.incoming
        exchange.leg = leg
        return leg

    async def read(self, leg: Leg) -> bytes:
        """The whole body of a response.

        Raises:
            UpstreamError: it is too large, or breaks off; this is counted.
        """
        if leg.body is not None:
            return leg.body
        assert leg.response is not None
        try:
            return await read_bounded(leg.response, self._max_answer_bytes)
        except UpstreamError:
            self._metrics.add("deputize_aborted_total", (("by", "upstream"),))
            raise
        finally:
            leg.response.close()


def leg_to(
    upstream: Upstream, exchange: Exchange, *, one_of_several: bool, avoid: Dialect | None = None
) -> Leg:
    """The leg to an upstream: in the client's protocol where it speaks that, so that bytes pass as they are.

    Raises:
        BadInput: it speaks no protocol that is known here, or the request refers to what another tenant was given.
    """
    dialect = exchange.dialect
    if upstream.speaks(dialect.name) and dialect is not avoid:
        if dialect is RESPONSES and upstream.has_key and exchange.caller.key is not None:
            check_references(exchange)
        return Leg(upstream, dialect, True, "", one_of_several)
    for other in DIALECTS:
        if upstream.speaks(other.name) and other is not avoid:
            return Leg(upstream, other, False, exchange.answer_id, one_of_several)
    raise BadInput(f"Upstream {upstream.name!r} speaks no protocol that {dialect.path} can be translated to.")
