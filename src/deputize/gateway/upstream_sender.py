"""Sends an exchange to an upstream, in the client's protocol or translated."""

from __future__ import annotations

from collections.abc import Sequence

from deputize.core.errors import BadInput, UpstreamError
from deputize.gateway.conversations import check_references
from deputize.gateway.exchange import Exchange, Leg
from deputize.gateway.metrics import Metrics
from deputize.gateway.translate import request_for
from deputize.gateway.upstream_errors import lacks_endpoint
from deputize.http.headers import Headers
from deputize.upstreams.failover import UpstreamPool
from deputize.upstreams.upstream import Upstream, read_bounded
from deputize.wire.registry import DIALECTS, RESPONSES


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
        while True:
            leg = await self._send(exchange, candidates)
            if not await self._lacks_responses(leg):
                return leg
            # a server of the chat protocol only: remembered, and translated for from now on
            leg.upstream.without_responses = True
            candidates = [leg.upstream]

    async def _lacks_responses(self, leg: Leg) -> bool:
        """True where the server answers that it has no endpoint for responses."""
        response = leg.response
        assert response is not None
        if leg.dialect is not RESPONSES or response.status not in (404, 405, 501):
            return False
        leg.body = await self.read(leg)
        return lacks_endpoint(response.status, leg.body)

    async def _send(self, exchange: Exchange, candidates: Sequence[Upstream]) -> Leg:
        leg: Leg | None = None

        def prepare(upstream: Upstream) -> tuple[str, Headers, bytes]:
            nonlocal leg
            leg = leg_to(upstream, exchange, one_of_several=len(candidates) > 1)
            return request_for(leg, exchange, ask_for_usage=self._ask_for_usage)

        exchange.sent = True
        answer = await self._upstreams.send("POST", candidates, prepare)
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


def leg_to(upstream: Upstream, exchange: Exchange, *, one_of_several: bool) -> Leg:
    """The leg to an upstream: in the client's protocol where it speaks that, so that bytes pass as they are.

    Raises:
        BadInput: it speaks no protocol that is known here, or the request refers to what another tenant was given.
    """
    dialect = exchange.dialect
    if upstream.speaks(dialect.name):
        if dialect is RESPONSES and upstream.has_key and exchange.caller.key is not None:
            check_references(exchange)
        return Leg(upstream, dialect, True, "", one_of_several)
    for other in DIALECTS:
        if upstream.speaks(other.name):
            return Leg(upstream, other, False, exchange.answer_id, one_of_several)
    raise BadInput(f"Upstream {upstream.name!r} speaks no protocol that {dialect.path} can be translated to.")
