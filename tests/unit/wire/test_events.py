"""The reply model."""

from __future__ import annotations

from deputize.core.records import Usage
from deputize.wire.events import Assembler, Completion, Failed, TextDelta, ToolDelta, UsageSeen, replay


def test_counts_grow_and_are_never_overwritten_by_less() -> None:
    seen = UsageSeen(5, 1, None).updated(UsageSeen(None, 7, 2))
    assert (seen.prompt_tokens, seen.completion_tokens, seen.cached_tokens) == (5, 7, 2)
    assert seen.updated(UsageSeen(0, 3, None)) == seen
    assembler = Assembler()
    for counts in (UsageSeen(9, 1, cache_write_tokens=4), UsageSeen(0, 6, reasoning_tokens=2)):
        assembler.add(counts)
    wanted = Usage(prompt_tokens=9, completion_tokens=6, cache_write_tokens=4, reasoning_tokens=2)
    assert assembler.usage() == wanted


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
    assert reply.counts == UsageSeen(0, 0)
    assert Completion(message={}, usage=Usage(prompt_tokens=3)).counts.prompt_tokens == 3


def test_replay_cuts_text_in_pieces() -> None:
    events = list(replay(Completion(message={"role": "assistant", "content": "abcde"}), piece=2))
    assert [e.text for e in events if isinstance(e, TextDelta)] == ["ab", "cd", "e"]
