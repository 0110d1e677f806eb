"""Templates and prompt recipes of tasks."""

from __future__ import annotations

from deputize.core.records import Example, Request
from deputize.stages.cluster.task_prompt import SLOT, recipe_of, template_text


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
