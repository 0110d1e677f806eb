"""Examples without their texts, and what many of them share."""

from __future__ import annotations

import msgspec

from deputize.core.artifacts import Withheld
from deputize.core.example_texts import Shared, without_texts
from deputize.core.records import Example, Outcome, Request, Usage


def test_ids_splits_and_outcomes_stay() -> None:
    example = Example(
        call_id="c1",
        request=Request(messages=[{"role": "user", "content": "Call Mia."}], tools=[{"type": "function"}]),
        response={"role": "assistant", "content": "Mia was called."},
        audience="code",
        site="s",
        episode="e",
        group="g",
        split="test",
        usage=Usage(prompt_tokens=5, completion_tokens=1),
        outcome=Outcome(success=True),
        logprobs=[[("Mia", -0.1)]],
    )
    short = without_texts(example)
    assert "Mia" not in repr(short) and not short.request.tools
    assert (short.call_id, short.group, short.split, short.outcome) == ("c1", "g", "test", example.outcome)


def _read(call_id: str, said: str) -> Example:
    """An example with objects of its own, as one that is read from the disk."""
    written = msgspec.json.encode(
        Example(
            call_id=call_id,
            request=Request(
                messages=[
                    {"role": "system", "content": "Sort the message."},
                    {"role": "user", "content": f"message {call_id}"},
                ],
                tools=[{"type": "function", "function": {"name": "sort"}}],
                agent="desk",
            ),
            response={"role": "assistant", "content": said},
            audience="code",
            site="s1",
            episode="e1",
            group="g1",
        )
    )
    return msgspec.json.decode(written, type=Example)


def test_equal_parts_are_one_object() -> None:
    shared = Shared()
    given = [_read("c1", "damage"), _read("c2", "damage"), _read("c3", "word " * 40)]
    first, second, third = made = [shared.example(one) for one in given]
    assert made == given
    assert first.request.messages[0] is second.request.messages[0]
    assert first.request.messages[1]["role"] is second.request.messages[1]["role"]
    assert first.request.tools is third.request.tools and first.episode is third.episode
    assert first.response is second.response and first.logprobs is third.logprobs


def test_withheld_calls_share_their_reason() -> None:
    shared = Shared()
    one, other = (Withheld(call_id=id, reason=" ".join(("too", "old")), split="test") for id in "ab")
    made = shared.withheld(one), shared.withheld(other)
    assert made == (one, other) and made[0].reason is made[1].reason


def test_a_log_of_many_names_shares_them_all_the_same() -> None:
    shared = Shared()
    names = [f"e{n // 2}" for n in range(200_000)]
    assert [shared.name(name) for name in names] == names
    assert shared.name("e" + "7") is shared.name("e" + "7")
