"""A constant, a copy, a table or one word is found where it gives the answers, and nothing where nothing does."""

from __future__ import annotations

import random
from collections.abc import Sequence

from deputize.core.records import Answer, Contract, Field
from deputize.core.subjects import Subjects
from deputize.stages.evaluate.simple_rule import SimpleRule, facts_of, fit_rule, parts_of

LABEL = Contract(kind="label", labels=["yes", "no"])
ORDER = Contract(
    kind="json",
    fields=[
        Field(name="order", type="value"),
        Field(name="queue", type="label", labels=["sea", "air"]),
        Field(name="why", type="free"),
    ],
)


def fitted(calls: Sequence[tuple[str, Answer]], contract: Contract, least: int = 1) -> SimpleRule | None:
    subjects = Subjects([f"s{i}" for i in range(len(calls))], least)
    return fit_rule(calls, contract, subjects, 0.05)


def test_a_constant_is_a_rule() -> None:
    rule = fitted([(f"Case: {i}", "yes") for i in range(40)] + [("Case: 41", "no")], LABEL)
    assert rule is not None and rule.words() == "the answer is always yes"
    assert rule.is_right("Case: 99", "yes", LABEL) and not rule.is_right("Case: 99", "no", LABEL)
    assert not rule.is_right("Case: 99", None, LABEL)


def test_a_word_tells_two_answers_apart() -> None:
    calls: list[tuple[str, Answer]] = [
        (f"letter {i} {'urgent' if i % 3 == 0 else 'calm'}", "yes" if i % 3 == 0 else "no") for i in range(60)
    ]
    rule = fitted(calls, LABEL, 2)
    assert rule is not None and "the word 'calm'" in rule.words()
    assert rule.is_right("letter 99 urgent", "yes", LABEL) and rule.is_right("calm", "no", LABEL)


def test_fields_are_copied_and_looked_up_and_free_text_is_left_out() -> None:
    calls: list[tuple[str, Answer]] = [
        (
            f"Order: AB-{i}\nCountry: {'us' if i % 2 else 'de'}\nsome text {i}",
            {"order": f"AB-{i}", "queue": "sea" if i % 2 else "air", "why": f"because {i}"},
        )
        for i in range(60)
    ]
    rule = fitted(calls, ORDER)
    assert rule is not None
    assert rule.words() == (
        "order is copied from behind 'Order:'; queue is looked up by 'Country:' in a table of 2"
    )
    prompt = "Order: XY-1\nCountry: us"
    assert rule.is_right(prompt, {"order": "XY-1", "queue": "sea", "why": "x"}, ORDER)
    assert not rule.is_right(prompt, {"order": "XY-1", "queue": "air", "why": "x"}, ORDER)
    assert not rule.is_right("Order: XY-1\nCountry: fr", {"order": "XY-1", "queue": "sea", "why": ""}, ORDER)


def test_what_depends_on_more_than_a_word_has_no_rule() -> None:
    dice = random.Random(1)
    words = ["sun", "rain", "wind", "snow", "cloud", "fog"]
    calls: list[tuple[str, Answer]] = []
    for _ in range(200):
        text = dice.sample(words, 3)
        calls.append((" ".join(text), "yes" if ("sun" in text) != ("rain" in text) else "no"))
    assert fitted(calls, LABEL) is None and fitted([], LABEL) is None


def test_a_word_or_value_of_too_few_people_is_in_no_rule() -> None:
    calls: list[tuple[str, Answer]] = [
        (f"letter {'zobafel' if i % 2 else 'other' + str(i)}", "yes" if i % 2 else "no") for i in range(60)
    ]
    subjects = Subjects(["zoe" if i % 2 else f"s{i}" for i in range(60)], 2)
    assert fit_rule(calls, LABEL, subjects, 0.05) is None
    text = Contract(kind="text")
    constant = fit_rule([("x", "zobafel")] * 30, text, Subjects(["zoe"] * 30, 2), 0.05)
    assert constant is not None and constant.words() == "the answer is always the same"


def test_tool_calls_have_a_part_for_the_tool_and_each_argument() -> None:
    tools = Contract(kind="tool_call", tools=["find"])
    assert parts_of([{"name": "find", "arguments": {"id": "7", "n": 2}}], tools) == {
        "tool": "find",
        "id": "7",
        "n": "2",
    }
    assert facts_of("**Order:** `AB-1`,\nplain").labelled == {"Order:": "AB-1"}
