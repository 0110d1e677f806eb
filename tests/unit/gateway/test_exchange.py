"""How exchanges end."""

from __future__ import annotations

import asyncio

import pytest
from tests.unit.gateway.stubs import exchange

from deputize.core.errors import BadInput, UpstreamTimeout
from deputize.gateway.exchange import REFUSED, ExchangeResult, result_of_error
from deputize.wire.registry import DIALECTS


@pytest.mark.parametrize(
    ("error", "outcome"),
    [
        (asyncio.CancelledError(), ExchangeResult(status=499, cut_by="client")),
        (UpstreamTimeout("late"), ExchangeResult(status=504)),
        (BadInput("no"), REFUSED),
        (ZeroDivisionError(), ExchangeResult(status=500, cut_by="gateway")),
    ],
)
def test_every_error_has_an_outcome(error: BaseException, outcome: ExchangeResult) -> None:
    assert result_of_error(error) == outcome


def test_ids_of_own_answers_have_the_form_of_their_protocol() -> None:
    fields = {"model": "m", "input": "q", "messages": [{"role": "user", "content": "q"}]}
    heads = [exchange(fields, d).reply_head for d in DIALECTS]
    assert [h.id for h in heads] == ["chatcmpl-dpz-1", "msg_dpz-1", "resp_dpz-1"]
    assert heads[0].created == 1000 and heads[0].model == "m"
