"""The context of a call, read from its headers."""

from __future__ import annotations

import pytest

from deputize.core.errors import BadInput
from deputize.gateway.context import CallIds, Context, read_context


def test_context() -> None:
    def read(**headers: str) -> Context:
        names = {f"x-deputize-{k}": v for k, v in headers.items()}
        return read_context(
            names, pseudonym=lambda raw, tenant: f"p:{tenant}", now=1.0, started=2.0, call_id="c", tenant="t"
        )

    context = read(origin="bob", episode="e", audience="Human", route="SLM")
    assert (context.origin, context.audience, context.override, context.canary_key) == (
        "p:t",
        "human",
        "slm",
        "e",
    )
    assert read().canary_key == "c" and read().origin == ""
    for wrong in ({"audience": "robot"}, {"route": "x"}, {"agent": "a" * 257}):
        with pytest.raises(BadInput, match="x-deputize"):
            read(**wrong)


def test_ids_are_fresh() -> None:
    make = CallIds()
    ids = {make() for _ in range(1000)}
    assert len(ids) == 1000 and all(i.startswith("dpz-") and len(i) == 28 for i in ids)
