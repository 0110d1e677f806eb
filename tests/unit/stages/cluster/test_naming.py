"""Names and templates of tasks: from instructions, answers and typical words."""

from __future__ import annotations

from deputize.core.records import Contract, Example, Field, Request
from deputize.core.subjects import Subjects
from deputize.stages.cluster.naming import SLOT, name_of, recipe_of, template_text, typical_words

LABELS = Contract(kind="label", labels=["yes", "no"])


def example(i: int, user: str, system: str = "Sort the letter.") -> Example:
    return Example(
        call_id=f"c{i}",
        request=Request(messages=[{"role": "system", "content": system}, {"role": "user", "content": user}]),
        response={"role": "assistant", "content": "yes"},
        audience="code",
        site="s",
        episode=f"e{i}",
        group=f"g{i}",
    )


def test_a_name_says_what_is_asked_and_what_comes_out() -> None:
    assert (
        name_of(LABELS, ["Your job is to check the parcel. Be kind."], [], [])
        == "check the parcel → yes / no"
    )
    assert (
        name_of(LABELS, ["You must classify each letter, please."], [], [])
        == "classify each letter → yes / no"
    )
    fields = Contract(kind="json", fields=[Field(name=n, type="value") for n in "abcde"])
    assert name_of(fields, ["Extract the data"], [], []) == "Extract the data → {a, b, c, d, …}"
    tools = Contract(kind="tool_call", tools=["a", "b", "c", "d"])
    assert name_of(tools, ["You are a travel agent."], [], []) == "travel agent → tool a, b, c and 1 more"


def test_without_an_instruction_typical_words_are_the_name() -> None:
    texts, others = ["rain sun cloud"] * 5, [["money rain"] * 5]
    assert typical_words(texts, others, 2) == ["cloud", "sun"]
    assert name_of(LABELS, [], texts, others).startswith("cloud, sun")
    assert name_of(LABELS, [], [], []) == "unnamed → yes / no"


def test_a_word_of_too_few_people_is_in_no_name() -> None:
    texts = ["rain zobafel"] * 4 + ["rain"] * 4
    subjects = Subjects(["zoe"] * 4 + list("abcd"), 2)
    assert typical_words(texts, [], subjects=subjects) == ["rain"]


def test_a_template_shows_fixed_lines_and_slots() -> None:
    shown = template_text(
        example(1, "Case: 12\nsecret words\nmore"), frozenset({"Sort the letter."}), frozenset({"Case:"})
    )
    assert shown == f"Sort the letter.\n\nCase: {SLOT}\n{SLOT}"


def test_constant_lines_are_left_out_of_the_prompt_but_not_those_of_one_person() -> None:
    examples = [example(i, f"Be kind.\nword{i}") for i in range(20)]
    recipe = recipe_of(examples, ["k"] * 20, ["Case:"])
    assert (recipe.constant_lines, recipe.heads, recipe.mode) == (
        ["Be kind.", "Sort the letter."],
        ["Case:"],
        "slots",
    )
    assert recipe_of(examples, ["k"] * 20, [], 30).constant_lines == []
