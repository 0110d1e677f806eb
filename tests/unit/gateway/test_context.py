"""The context of a call, read from its headers."""

from __future__ import annotations

from typing import Any

import pytest

from deputize.core.errors import BadInput
from deputize.gateway.context import CallIds, Context, end_user_of, read_context, without_end_user


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


@pytest.mark.parametrize(
    ("params", "kept"),
    [
        ({"user": "mia", "safety_identifier": "m-77", "seed": 1}, {"seed": 1}),
        ({"metadata": {"user_id": "m-78", "job": "a"}}, {"metadata": {"job": "a"}}),
        ({"metadata": ["user_id"], "stream": True}, {"metadata": ["user_id"], "stream": True}),
    ],
)
def test_of_an_end_users_id_the_pseudonym_alone_is_kept(params: dict[str, Any], kept: dict[str, Any]) -> None:
    given = repr(params)
    assert without_end_user(params) == kept and repr(params) == given


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"user": "mia@example.com", "safety_identifier": "m-77"}, "mia@example.com"),
        ({"safety_identifier": "m-77", "metadata": {"user_id": "m-78"}}, "m-77"),
        ({"metadata": {"user_id": "m-78"}}, "m-78"),
        ({"user": "", "metadata": {"customer": "mia"}}, ""),
        ({"user": 7, "metadata": ["user_id"]}, ""),
        ({}, ""),
    ],
)
def test_the_body_names_the_end_user_where_no_header_does(fields: dict[str, Any], named: str) -> None:
    assert end_user_of(fields) == named

    def origin(headers: dict[str, str]) -> str:
        found = read_context(
            headers,
            pseudonym=lambda raw, tenant: f"{raw} of {tenant}",
            now=1.0,
            started=2.0,
            call_id="c",
            tenant="t",
            end_user=end_user_of(fields),
        )
        return found.origin

    assert origin({}) == (f"{named} of t" if named else "")
    assert origin({"x-deputize-origin": "bob"}) == "bob of t"
