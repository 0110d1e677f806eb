"""Freeform tools toward servers that have function tools only."""

from __future__ import annotations

from deputize.wire.events import Completion, Event, Finished, TextDelta, ToolDelta, ToolStart
from deputize.wire.freeform_tools import FreeformCalls, as_functions, freeform_names, restored

PATCH = {
    "type": "custom",
    "custom": {
        "name": "patch",
        "description": "Edits files.",
        "format": {"type": "grammar", "syntax": "lark", "definition": "start: WORD"},
    },
}
CALL = {"id": "c", "type": "custom", "custom": {"name": "patch", "input": 'a "b"\n'}}
CHAT = {
    "model": "m",
    "messages": [{"role": "assistant", "content": None, "tool_calls": [CALL]}],
    "tools": [PATCH, {"type": "function", "function": {"name": "f"}}],
    "tool_choice": {"type": "custom", "custom": {"name": "patch"}},
}


def test_a_freeform_tool_becomes_a_function_with_one_text() -> None:
    assert freeform_names(CHAT) == {"patch"}
    out = as_functions(CHAT)
    tool, other = out["tools"]
    assert tool["function"]["parameters"]["required"] == ["input"] and other == CHAT["tools"][1]  # type: ignore[index]
    assert (
        "Edits files." in tool["function"]["description"] and "start: WORD" in tool["function"]["description"]
    )
    assert out["tool_choice"] == {"type": "function", "function": {"name": "patch"}}
    (call,) = out["messages"][0]["tool_calls"]
    assert call["function"] == {"name": "patch", "arguments": '{"input":"a \\"b\\"\\n"}'}


def read(*events: Event) -> list[Event]:
    calls = FreeformCalls(frozenset({"patch"}))
    return [passed for event in events for passed in calls.read(event)]


def test_its_calls_come_back_as_text() -> None:
    start, end = ToolStart(0, "c", "patch"), Finished("tool_calls")
    got = read(TextDelta("x"), start, ToolDelta(0, '{"inp'), ToolDelta(0, 'ut":"a\\n"}'), end)
    assert got == [TextDelta("x"), ToolStart(0, "c", "patch", True), ToolDelta(0, "a\n"), end]
    plain: list[Event] = [ToolStart(1, "d", "f"), ToolDelta(1, "{}")]
    assert read(*plain) == plain


def test_what_the_model_wrote_instead_is_not_lost() -> None:
    assert read(ToolStart(0, "c", "patch"), ToolDelta(0, "*** Begin"), Finished("stop"))[1] == ToolDelta(
        0, "*** Begin"
    )


def test_whole_replies() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "patch", "arguments": '{"input":"a"}'}}
    reply = Completion(message={"role": "assistant", "content": None, "tool_calls": [call]})
    back = restored(reply, frozenset({"patch"})).message["tool_calls"]
    assert back == [{"id": "c", "type": "custom", "custom": {"name": "patch", "input": "a"}}]
    assert restored(reply, frozenset({"other"})) == reply
