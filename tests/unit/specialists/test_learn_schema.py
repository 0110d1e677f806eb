"""What is constant, chosen or written, by the answers seen; what too few data subjects have is not in the schema."""

from __future__ import annotations

from deputize.core.contracts import DEFER
from deputize.core.records import Answer, Contract, Field
from deputize.core.subjects import Subjects
from deputize.specialists.answer_schema import Slot
from deputize.specialists.learn_schema import learn_schema

TOOL = Contract(kind="tool_call", tools=["move"], may_defer=True)


def slots_of(arguments: list[dict[str, object]], subjects: Subjects | None = None) -> dict[str, Slot]:
    given: list[Answer] = [[{"name": "move", "arguments": a}] for a in arguments]
    (tool,) = learn_schema(TOOL, given, subjects).actions["move"]
    return {slot.name: slot for slot in tool.slots}


def test_an_argument_is_constant_chosen_or_written() -> None:
    found = slots_of([{"unit": "km", "way": ("in", "out")[i % 2], "n": i} for i in range(20)])
    assert found["unit"].constant == "km"
    assert found["way"].role == "decision" and set(found["way"].choices) == {"in", "out"}
    assert found["n"].role == "value" and not found["n"].choices


def test_what_one_person_has_is_no_choice() -> None:
    ways = ["in", "out", "in", "out", "in", "out", "home", "home", "in", "out"] * 8
    names = ["zoe" if way == "home" else f"o{i % 7}" for i, way in enumerate(ways)]
    open_ = slots_of([{"way": way} for way in ways])
    assert "home" in open_["way"].choices
    kept = slots_of([{"way": way} for way in ways], Subjects(names, 2))
    assert "home" not in kept["way"].choices


def test_compared_slots_are_written_before_free_ones() -> None:
    contract = Contract(
        kind="json",
        fields=[
            Field(name="why", type="free"),
            Field(name="id", type="value"),
            Field(name="k", type="label", labels=["a", "b"]),
        ],
    )
    schema = learn_schema(contract, [{"why": f"w{i}", "id": f"i{i}", "k": "ab"[i % 2]} for i in range(9)])
    assert [slot.name for slot in schema.slots] == ["k", "id", "why"]
    assert schema.keys == ["why", "id", "k"] and schema.action_field is None


def test_a_mixed_site_decides_first_whether_to_defer() -> None:
    schema = learn_schema(Contract(kind="label", labels=["a"], may_defer=True), ["a", "a", DEFER])
    assert schema.action_field is not None and set(schema.action_field.choices) == {"<reply>", DEFER}
