"""A listed tool as a language model reads it, and the schema that its arguments are written in."""

from __future__ import annotations

import json

import jsonschema  # type: ignore[import-untyped]
import pytest

from deputize.core.listed_tools import ANY, ListedArgument, ListedTool
from deputize.specialists.answer_schema import Slot
from deputize.specialists.listed_writing import (
    ARGUMENTS,
    MAX_ASKED_CHARS,
    MAX_TOOL_CHARS,
    arguments_schema,
    tool_in_lines,
    written_arguments,
    written_prompt,
)
from deputize.specialists.value_forms import keeps

WEATHER = ListedTool(
    "get_weather",
    "The weather of a city.",
    [
        ListedArgument("city", "string", True, "Its name."),
        ListedArgument("unit", "string", False, "", ["celsius", "fahrenheit"], "", "celsius"),
        ListedArgument("days", "array", False, "", None, "integer"),
        ListedArgument("area", ANY, False, "A polygon."),
    ],
)


def slot_of(tool: ListedTool) -> Slot:
    schema = arguments_schema(tool)
    assert schema is not None and schema.keys == [ARGUMENTS]
    (slot,) = schema.slots
    return slot


def test_a_prompt_is_the_tool_in_lines_and_the_request() -> None:
    assert written_prompt("Is it cold in Bonn?", WEATHER) == (
        "get_weather: The weather of a city.\n"
        "city string: Its name.\n"
        'unit? celsius|fahrenheit = "celsius"\n'
        "days? [integer]\n"
        "area? any: A polygon.\n\n"
        "Is it cold in Bonn?"
    )
    assert written_prompt("x", ListedTool("", "", [])).startswith("fields of the reply\n\nx")


def test_long_descriptions_are_cut_before_names_are_lost() -> None:
    many = [ListedArgument(f"argument_{i}", "string", True, "long " * 28) for i in range(30)]
    lines = tool_in_lines(ListedTool("f", "g", many))
    assert len(lines) <= MAX_TOOL_CHARS and all(f"argument_{i} string" in lines for i in range(30))
    asked = "begins here " + "and goes on " * 300 + "and ends here"
    text = written_prompt(asked, WEATHER)
    assert len(text) <= MAX_TOOL_CHARS + 2 + MAX_ASKED_CHARS
    assert "begins here" in text and text.endswith("ends here")


@pytest.mark.parametrize(
    ("arguments", "fits"),
    [
        ({"city": "Bonn"}, True),
        ({"city": "Bonn", "unit": "celsius", "days": [1, 2]}, True),
        ({"city": 'Two\nlines "quoted"'}, True),
        ({"unit": "celsius"}, False),
        ({"city": "Bonn", "unit": "kelvin"}, False),
        ({"city": "Bonn", "days": ["one"]}, False),
        ({"city": 3}, False),
        ({"city": "Bonn", "area": {}}, False),
    ],
)
def test_what_may_be_written_is_what_the_list_says(arguments: dict[str, object], fits: bool) -> None:
    pytest.importorskip("llguidance")
    slot = slot_of(WEATHER)
    assert keeps(slot, [slot.write(arguments)]) == fits
    try:
        jsonschema.validate(arguments, json.loads(slot.form))
    except jsonschema.ValidationError:
        assert not fits
    else:
        assert fits


def test_arguments_are_written_in_the_order_of_the_list() -> None:
    answer = written_arguments(WEATHER, {"unit": "celsius", "city": "Bonn"})
    assert list(answer[ARGUMENTS]) == ["city", "unit"]
    schema = arguments_schema(WEATHER)
    assert schema is not None and schema.segments(answer) == [
        (slot_of(WEATHER), '{"city": "Bonn", "unit": "celsius"}')
    ]


def test_a_tool_that_needs_what_its_list_does_not_describe_has_no_schema() -> None:
    assert arguments_schema(ListedTool("f", "", [ListedArgument("area", ANY, True)])) is None
    again = ListedTool("other", "Described otherwise.", WEATHER.arguments)
    assert arguments_schema(again) is arguments_schema(WEATHER), "made once for the same arguments"
