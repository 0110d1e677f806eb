"""A calculator and a lookup: what they read as numbers, how results are written, and when they have none."""

from __future__ import annotations

import json
from decimal import Decimal

import numpy as np
import pytest

from deputize.specialists.pointer import Pointer
from deputize.specialists.tokenized_text import TokenizedText
from deputize.specialists.value_tools import (
    OPERATIONS,
    Calculator,
    Lookup,
    NumberForm,
    calculated,
    folded_key,
    number_of,
    pack_pointers,
    tool_of,
    unpack_pointers,
)

CENTS = NumberForm("text", 2)


class Fixed(Pointer):
    """A pointer that is sure of one run."""

    def __init__(self, text: str, log_p: float = -0.1) -> None:
        super().__init__([], [], [])
        self.text, self.log_p = text, log_p

    def best(self, tokenized: TokenizedText) -> tuple[str, float, float] | None:
        return (self.text, self.log_p, 2.0) if self.text in tokenized.text else None


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("12", "12"),
        ("1,200.50", "1200.50"),
        ("$4.50", "4.50"),
        ("20%", "20"),
        ("3x", "3"),
        ("-7", "-7"),
        ("three", "3"),
    ],
)
def test_numbers_are_read_as_people_write_them(text: str, number: str) -> None:
    assert number_of(text) == Decimal(number)


@pytest.mark.parametrize("text", ["N-12345", "2026-05-01", "4.5.6", "A4", "12km", "", "1,20", "1e5", "٣"])
def test_what_only_holds_digits_is_no_number(text: str) -> None:
    assert number_of(text) is None


@pytest.mark.parametrize(
    ("form", "number", "text"),
    [
        (CENTS, "13.5", "13.50"),
        (NumberForm("text", 2, grouped=True, before="$"), "1234.5", "$1,234.50"),
        (NumberForm("float", 2), "13.505", "~13.51"),
        (NumberForm("float", 1, half_up=False), "0.25", "~0.2"),
        (NumberForm("float", 2, json=False), "3", "3.0"),
        (NumberForm("shortest", 2), "3.00", "~3"),
        (NumberForm("integer", 0), "2.5", "~3"),
        (NumberForm("integer", 2), "2.5", ""),
        (NumberForm("plain", 2, after=" EUR"), "2.50", "2.5 EUR"),
    ],
)
def test_results_are_written_in_the_form_of_the_slot(form: NumberForm, number: str, text: str) -> None:
    assert form.write(Decimal(number)) == text


def test_each_operation_computes_what_its_name_says() -> None:
    given = [Decimal(80), Decimal(25)]
    for name, (n, _) in OPERATIONS.items():
        wanted = eval(name, {"a": given[0], "b": given[1]})
        assert calculated(name, NumberForm("text", 4), given[:n]) == f"{wanted:.4f}"


def test_without_an_operand_or_a_result_a_calculator_has_no_value() -> None:
    tool = Calculator("a / b", CENTS, [Fixed("9"), Fixed("4", -0.3)])
    found = tool.best(TokenizedText("9 by 4"))
    assert found is not None and (found[0], found[2]) == ("2.25", 2.0) and found[1] == pytest.approx(-0.4)
    assert tool.best(TokenizedText("9 by 5")) is None
    assert Calculator("a / b", CENTS, [Fixed("9"), Fixed("0")]).best(TokenizedText("9 by 0")) is None
    assert Calculator("a", CENTS, [Fixed("nine or so")]).best(TokenizedText("nine or so")) is None
    huge = Calculator("a * b", CENTS, [Fixed("9" * 30), Fixed("8" * 30)])
    assert huge.best(TokenizedText(f"{'9' * 30} by {'8' * 30}")) is None, "more digits than it computes with"


def test_a_key_that_the_table_does_not_have_has_no_value() -> None:
    tool = Lookup({"blue mug": "BM-1"}, "prices.csv", Fixed("Blue  mug"))
    assert tool.best(TokenizedText("a Blue  mug")) == ("BM-1", -0.1, 2.0)
    assert tool.best(TokenizedText("nothing")) is None
    assert Lookup({}, "prices.csv", Fixed("mug")).best(TokenizedText("a mug")) is None
    assert folded_key(" Blue\n MUG ") == "blue mug"


def test_tools_are_stored_and_read_back() -> None:
    pointer = Pointer(["a 0"], [2], ["none"], ["a"])
    pointer.weights_F[[3, 70]] = [0.5, -2.0]
    calculator = Calculator("a - b", NumberForm("text", 2, grouped=True, before="EUR "), [pointer, pointer])
    lookup = Lookup({"k": "~7"}, "t.csv", pointer)
    arrays, about = pack_pointers([*calculator.needs(), *lookup.needs()])
    back = unpack_pointers(arrays, json.loads(json.dumps(about)))
    assert np.array_equal(back[2].weights_F, pointer.weights_F.astype(np.float32)) and back[0].fixed == [
        "none"
    ]
    for tool, mine in ((calculator, back[:2]), (lookup, back[2:])):
        again = tool_of(json.loads(json.dumps(tool.stored())), mine)
        assert (again.stored(), again.in_words()) == (tool.stored(), tool.in_words())


@pytest.mark.parametrize(
    ("form", "text"),
    [
        (NumberForm("text", 2, json=False), "0.00"),
        (NumberForm("text", 0, json=False), "0"),
        (NumberForm("float", 2), "~0.0"),
        (NumberForm("shortest", 2), "~0"),
    ],
)
def test_nothing_is_written_without_a_sign(form: NumberForm, text: str) -> None:
    assert calculated("a - b", form, [Decimal("1.000"), Decimal("1.004")]) == text


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_numbers_beyond_the_digits_of_the_arithmetic_have_no_result(operation: str) -> None:
    huge = [Decimal("9" * 40_000), Decimal("8" * 40_000 + ".5")]
    for form in (NumberForm("text", 2), NumberForm("float", 2), NumberForm("integer", 0)):
        found = calculated(operation, form, huge)
        assert found == "" or operation == "a / b"
    assert calculated("a / b", NumberForm("float", 2), [Decimal(1), Decimal(0)]) == ""
