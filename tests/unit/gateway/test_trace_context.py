"""Trace contexts of requests."""

from __future__ import annotations

import pytest

from deputize.gateway.trace_context import trace_context_of

TRACE, PARENT = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


def test_a_request_with_a_parent_goes_on_with_its_trace() -> None:
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "a=1", "x": "y"}
    found = trace_context_of(headers, 0.0)
    assert (found.trace_id, found.parent_id, found.sampled, found.state) == (TRACE, PARENT, True, "a=1")
    assert found.span_id != PARENT
    told = found.told(headers)
    assert told == {"traceparent": f"00-{TRACE}-{found.span_id}-01", "tracestate": "a=1", "x": "y"}
    further = found.child()
    assert (further.trace_id, further.parent_id) == (
        TRACE,
        found.span_id,
    ) and further.span_id != found.span_id


def test_a_parent_that_is_not_sampled_is_followed() -> None:
    found = trace_context_of({"traceparent": f"00-{TRACE}-{PARENT}-00"}, 1.0)
    assert not found.sampled and found.told({})["traceparent"].endswith("-00")


@pytest.mark.parametrize(
    "given",
    [
        "",
        "rubbish",
        f"00-{'0' * 32}-{PARENT}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"ff-{TRACE}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}-01-more",
        f"00-{TRACE.upper()}-{PARENT}-01",
        f"00-{TRACE}-{PARENT}",
    ],
)
def test_what_is_no_parent_begins_a_trace(given: str) -> None:
    found = trace_context_of({"traceparent": given, "tracestate": "a=1"}, 1.0)
    assert len(found.trace_id) == 32 and found.trace_id != TRACE and not found.parent_id and not found.state
    assert found.sampled and not trace_context_of({}, 0.0).sampled
    assert "tracestate" not in found.told({"tracestate": "a=1"})


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    assert trace_context_of({"traceparent": f"01-{TRACE}-{PARENT}-03-more"}, 0.0).trace_id == TRACE
