"""What is kept of calls."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from deputize.core.recording_policy import Recording, recorded_part
from deputize.core.records import Call


def test_the_strictest_holds() -> None:
    policy = Recording(
        default="full", tenants={"acme": "metadata"}, sites={"diary": "off", "desk": "metadata", "a/b": "off"}
    )
    assert policy.level(tenant="t") == "full"
    assert policy.level(tenant="acme", asked="full") == "metadata"
    assert policy.level(tenant="acme", asked="off") == "off"
    assert policy.level(tenant="acme", site="diary", asked="metadata") == "off"
    assert policy.level(tenant="t", agent="desk", site="x") == "metadata"
    assert (
        policy.level(tenant="t", agent="a", site="b") == "off"
        and policy.level(tenant="t", site="b") == "full"
    )
    assert Recording(default="off").level(tenant="t", asked="full") == "off"
    with pytest.raises(ValidationError):
        Recording.model_validate({"tenants": {"acme": "none"}})


def test_the_part_that_is_kept() -> None:
    call = Call(
        id="c",
        messages=[{"role": "user", "content": "secret"}],
        response={"content": "secret"},
        tools=[{"secret": 1}],
        params={"user": "secret"},
        episode="secret",
        group="secret",
        response_id="secret",
        response_format={"secret": 1},
        tool_choice="secret",
        logprobs="secret",
        shadow_response={"role": "assistant", "content": "secret"},
        origin="o_1",
        model="m",
        status=503,
    )
    assert recorded_part(call, "full") is call and recorded_part(call, "off") is None
    kept = recorded_part(call, "metadata")
    assert kept is not None and "secret" not in repr(kept)
    assert (kept.id, kept.origin, kept.model, kept.status, kept.recorded) == (
        "c",
        "o_1",
        "m",
        503,
        "metadata",
    )
