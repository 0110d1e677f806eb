"""The reply model."""

from __future__ import annotations

from deputize.core.records import Usage
from deputize.wire.events import Assembler, Completion, Failed, TextDelta, ToolDelta, UsageSeen, replay


def test_later_counts_replace_earlier_ones_where_there_are_any() -> None:
    seen = UsageSeen(5, 1, None).updated(UsageSeen(None, 7, 2))
    assert (seen.prompt_tokens, seen.completion_tokens, seen.cached_tokens) == (5, 7, 2)


def test_a_cut_reply_is_right_so_far() -> None:
    assembler = Assembler()
    assert assembler.message() == {} and not assembler.has_output and assembler.usage() is None
    assembler.add(TextDelta("Hel"))
    assembler.add(ToolDelta(0, "{"))
    assembler.add(Failed("down"))
    message = assembler.completion().message
    assert message["content"] == "Hel" and message["tool_calls"][0]["function"]["arguments"] == "{"
    assert assembler.error == "down"


def test_counts_of_a_reply_without_usage_are_zero() -> None:
    reply = Completion(message={"role": "assistant", "content": "x"})
    assert reply.counts == UsageSeen(0, 0, None)
    assert Completion(message={}, usage=Usage(prompt_tokens=3)).counts.prompt_tokens == 3


def test_replay_cuts_text_in_pieces() -> None:
    events = list(replay(Completion(message={"role": "assistant", "content": "abcde"}), piece=2))
    assert [e.text for e in events if isinstance(e, TextDelta)] == ["ab", "cd", "e"]
