"""The separability test: one classifier for two groups of calls, or two."""

from __future__ import annotations

import random

from deputize.core.records import Example, Request
from deputize.stages.cluster.recurring_lines import PromptCall, UnitSplitter, prompt_call
from deputize.stages.cluster.reply_profiles import read_reply
from deputize.stages.cluster.separability import answer_class, serves_both

WORDS = ("apple", "pear", "plum")


def calls(answers: dict[str, str], n: int = 60) -> list[PromptCall]:
    """Calls whose answer is decided by the one word of theirs that is in `answers`."""
    r = random.Random(0)
    out: list[PromptCall] = []
    for i in range(n):
        word = WORDS[i % 3]
        text = f"{word} {' '.join(r.choice('bcdfg') * 3 for _ in range(3))}"
        response = {"role": "assistant", "content": answers[word]}
        example = Example(
            call_id=f"c{i}",
            request=Request(messages=[{"role": "user", "content": text}]),
            response=response,
            audience="code",
            site="s",
            episode=f"e{i}",
            group=f"g{i}",
        )
        out.append(prompt_call(i, example, read_reply(response), UnitSplitter()))
    return out


def test_the_same_rule_is_served_by_one_and_opposite_rules_are_not() -> None:
    rule = calls({"apple": "a", "pear": "b", "plum": "c"})
    assert serves_both(rule, calls({"apple": "a", "pear": "b", "plum": "c"}, 90))
    assert not serves_both(rule, calls({"apple": "b", "pear": "c", "plum": "a"}))


def test_too_few_calls_are_no_evidence() -> None:
    assert serves_both(
        calls({"apple": "a", "pear": "b", "plum": "c"}, 9), calls({"apple": "c", "pear": "a", "plum": "b"})
    )


def test_the_class_of_a_reply_is_its_label_or_its_short_values() -> None:
    (labelled, *_), (filled, *_) = (
        calls({"apple": "a", "pear": "b", "plum": "c"}),
        calls(dict.fromkeys(WORDS, '{"b": "x", "a": "a value that is much too long to be a class"}')),
    )
    assert (answer_class(labelled), answer_class(filled)) == ("a", 'b="x"')
