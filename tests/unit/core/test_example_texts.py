"""Examples without their texts."""

from __future__ import annotations

from deputize.core.example_texts import without_texts
from deputize.core.records import Example, Request, Usage


def test_all_but_the_texts_stays() -> None:
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
        logprobs=[[("Mia", -0.1)]],
    )
    short = without_texts(example)
    assert "Mia" not in repr(short) and not short.request.tools
    assert (short.call_id, short.group, short.split, short.usage) == ("c1", "g", "test", example.usage)
