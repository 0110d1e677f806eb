"""Tool calls whose pieces interleave."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from deputize.wire.events import Event, Finished, TextDelta, ToolDelta, ToolStart, UsageSeen, assemble
from deputize.wire.tool_order import ToolCallOrder

END = Finished("tool_calls")


def ordered(*events: Event) -> list[Event]:
    order = ToolCallOrder()
    return [passed for event in events for passed in order.order(event)]


def test_what_comes_in_order_passes_as_it_comes() -> None:
    events: list[Event] = [
        TextDelta("a"),
        ToolStart(0, "x", "f"),
        ToolDelta(0, "{"),
        ToolDelta(0, "}"),
        ToolStart(1, "y", "g"),
        ToolDelta(1, "{}"),
    ]
    order = ToolCallOrder()
    for event in events:
        assert list(order.order(event)) == [event], "nothing is held back"


def test_interleaved_calls_come_one_after_the_other() -> None:
    a, b = ToolStart(0, "x", "f"), ToolStart(1, "y", "g")
    got = ordered(a, b, ToolDelta(0, '{"x":'), ToolDelta(1, '{"y":2}'), UsageSeen(1), ToolDelta(0, "1}"), END)
    wanted = [a, ToolDelta(0, '{"x":'), UsageSeen(1), ToolDelta(0, "1}"), b, ToolDelta(1, '{"y":2}'), END]
    assert got == wanted


def test_text_waits_for_a_call_that_is_not_whole() -> None:
    start = ToolStart(0, "x", "f")
    got = ordered(start, ToolDelta(0, "{"), TextDelta("t"), ToolDelta(0, "}"), END)
    assert got == [start, ToolDelta(0, "{"), ToolDelta(0, "}"), TextDelta("t"), END]


@given(st.lists(st.tuples(st.integers(0, 2), st.sampled_from(['{"a":', "1", "}", ""])), max_size=20))
def test_no_event_is_lost_and_no_call_is_opened_twice(pieces: list[tuple[int, str]]) -> None:
    events: list[Event] = [ToolStart(i, f"t{i}", "f") for i in range(3)]
    texts = ["", "", ""]
    for i, piece in pieces:
        if not texts[i].endswith("}"):  # no server goes on after arguments that are whole
            texts[i] += piece
            events.append(ToolDelta(i, piece))
    got = ordered(*events, END)
    assert assemble(got) == assemble([*events, END])
    lanes: list[Any] = [e.index for e in got if isinstance(e, ToolStart | ToolDelta)]
    changes = [lane for at, lane in enumerate(lanes) if at == 0 or lanes[at - 1] != lane]
    assert len(changes) == len(set(changes))
