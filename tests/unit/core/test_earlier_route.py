"""The record of an earlier route travels as JSON, whole."""

from __future__ import annotations

import pytest

from deputize.core.earlier_route import EarlierRoute
from deputize.core.records import decode, encode
from deputize.core.report_schema import document


@pytest.mark.parametrize("kept", [True, False])
def test_every_field_is_there_and_back(kept: bool) -> None:
    one = EarlierRoute(
        route_id="route-t", specialist="runs/1/t", task_id="", task_name="t", kept=kept, reason="x"
    )
    assert decode(encode(one), EarlierRoute) == one
    assert document(one)["kept"] is kept and document(one)["task_id"] == ""
