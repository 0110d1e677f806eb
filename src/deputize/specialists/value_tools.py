"""Tools that give a value of an answer where none can be copied: a calculator over numbers of the prompt, and a
lookup in a table.

A pointer finds what a tool needs (the operands, the key), with a probability; the rest is exact. Neither guesses:
without an operand, with a division by nothing, or with a key that the table does not have, there is no value, and the
LLM answers.

References:
    Schick et al., "Toolformer: language models can teach themselves to use tools", arXiv 2302.04761 (calculator and
    lookup; here the call follows from the slot, so that no token of it is written).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal, DecimalException
from typing import Any, Final, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from deputize.specialists.pointer import Pointer
from deputize.specialists.tokenized_text import TokenizedText

Numbers = Sequence[Decimal]
Found = tuple[str, float, float]
"""(text, its log-probability, its lead in nats over the next one)"""

_HUNDRED: Final = Decimal(100)
OPERATIONS: Final[Mapping[str, tuple[int, Callable[[Numbers], Decimal]]]] = {
    "a": (1, lambda n: n[0]),
    "a + b": (2, lambda n: n[0] + n[1]),
    "a * b": (2, lambda n: n[0] * n[1]),
    "a - b": (2, lambda n: n[0] - n[1]),
    "a / b": (2, lambda n: n[0] / n[1]),
    "a * b / 100": (2, lambda n: n[0] * n[1] / _HUNDRED),
    "a + a * b / 100": (2, lambda n: n[0] + n[0] * n[1] / _HUNDRED),
    "a - a * b / 100": (2, lambda n: n[0] - n[0] * n[1] / _HUNDRED),
}
"""Of a calculator: name -> (operands, the operation); of two that explain a log as well the first is taken."""

_NUMBER: Final = re.compile(
    r"[^\w+-]{0,3}([-+]?(?:[0-9]{1,3}(?:,[0-9]{3})+|[0-9]+)(?:\.[0-9]+)?)[^\w]{0,2}[xX]?"
)
_WORDS: Final = {
    word: n
    for n, word in enumerate(
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    )
}


def number_of(text: str) -> Decimal | None:
    """The number that a run of a prompt is: 12, 1,200.50, $4.50, 20%, 3x, three; None for any other text."""
    if text.lower() in _WORDS:
        return Decimal(_WORDS[text.lower()])
    found = _NUMBER.fullmatch(text)
    return None if found is None else Decimal(found.group(1).replace(",", ""))


class NumberForm(NamedTuple):
    """The way in which a slot writes its numbers."""

    kind: str
    """float, integer or shortest: JSON numbers; text: with `decimals` digits after the point; plain: with as many as
    are needed."""
    decimals: int
    """To which it is rounded."""
    half_up: bool = True
    """.5 is rounded up, not to the even neighbour."""
    json: bool = True
    """The slot writes JSON numbers after a ~."""
    grouped: bool = False
    before: str = ""
    after: str = ""

    def write(self, number: Decimal) -> str:
        """A number as the slot's text; "" where this form has none for it."""
        rule = ROUND_HALF_UP if self.half_up else ROUND_HALF_EVEN
        rounded = number.quantize(Decimal(1).scaleb(-self.decimals), rounding=rule)
        rounded = rounded if rounded else abs(rounded)  # nobody writes -0.00
        whole = rounded == rounded.to_integral_value()
        if self.kind == "text":
            return f"{self.before}{rounded:{',' if self.grouped else ''}.{self.decimals}f}{self.after}"
        if self.kind == "integer" and not whole:
            return ""
        is_integer = self.kind == "integer" or (self.kind in ("shortest", "plain") and whole)
        written = json.dumps(int(rounded) if is_integer else float(rounded))
        if self.kind == "plain":
            return f"{self.before}{written}{self.after}"
        return f"~{written}" if self.json else written


class ValueTool(Protocol):
    """Gives the text of a slot."""

    def best(self, page: TokenizedText) -> Found | None:
        """The slot's text for a prompt; None where there is none."""
        ...

    def needs(self) -> list[Pointer]:
        """The pointers that find its operands."""
        ...

    def stored(self) -> dict[str, Any]:
        """All but the pointers, as JSON."""
        ...

    def in_words(self) -> str:
        """The tool in few words, for people."""
        ...


class Calculator:
    """One operation over numbers of the prompt."""

    def __init__(self, operation: str, form: NumberForm, operands: Sequence[Pointer]) -> None:
        """
        Args:
            operation: one of OPERATIONS.
            form: of the result.
            operands: what finds them, in the order of the operation.
        """
        self.operation, self.form, self.operands = operation, form, list(operands)

    def best(self, page: TokenizedText) -> Found | None:
        """The result; see `ValueTool`."""
        found = [pointer.best(page) for pointer in self.operands]
        numbers = [number_of(one[0]) for one in found if one is not None]
        known = [number for number in numbers if number is not None]
        if len(known) < len(self.operands):
            return None
        text = calculated(self.operation, self.form, known)
        if not text:
            return None
        sure = [one for one in found if one is not None]
        return text, sum(one[1] for one in sure), min(one[2] for one in sure)

    def needs(self) -> list[Pointer]:
        """The pointers that find its operands."""
        return self.operands

    def stored(self) -> dict[str, Any]:
        """All but the pointers, as JSON."""
        return {"tool": "calculator", "operation": self.operation, "form": list(self.form)}

    def in_words(self) -> str:
        """The tool in few words, for people."""
        return "a number as it stands" if self.operation == "a" else self.operation


class Lookup:
    """The value beside a key of the prompt, in a table."""

    def __init__(self, table: Mapping[str, str], name: str, key: Pointer) -> None:
        """
        Args:
            table: folded key -> the slot's text.
            name: of the table, for people.
            key: what finds the key.
        """
        self.table, self.name, self.key = dict(table), name, key

    def best(self, page: TokenizedText) -> Found | None:
        """The value of the key; see `ValueTool`."""
        found = self.key.best(page)
        text = self.table.get(folded_key(found[0])) if found is not None else None
        return None if found is None or text is None else (text, found[1], found[2])

    def needs(self) -> list[Pointer]:
        """The pointer that finds its key."""
        return [self.key]

    def stored(self) -> dict[str, Any]:
        """All but the pointer, as JSON."""
        return {"tool": "lookup", "table": self.table, "name": self.name}

    def in_words(self) -> str:
        """The tool in few words, for people."""
        return f"looked up in {self.name}"


def folded_key(text: str) -> str:
    """A key as tables are asked for it: in small letters, white space folded."""
    return " ".join(text.lower().split())


def calculated(operation: str, form: NumberForm, numbers: Numbers) -> str:
    """The text of a result; "" where there is none."""
    try:
        return form.write(OPERATIONS[operation][1](numbers))
    except (DecimalException, OverflowError, ValueError):
        return ""


def tool_of(stored: Mapping[str, Any], pointers: Sequence[Pointer]) -> ValueTool:
    """The tool that `stored` described."""
    if stored["tool"] == "calculator":
        return Calculator(stored["operation"], NumberForm(*stored["form"]), pointers)
    return Lookup(stored["table"], stored["name"], pointers[0])


def pack_pointers(pointers: Sequence[Pointer]) -> tuple[dict[str, npt.NDArray[Any]], list[Any]]:
    """(arrays by name, the rest as JSON) of pointers; never a word of the traffic that did not recur as an answer."""
    arrays: dict[str, npt.NDArray[Any]] = {}
    about = []
    for n, pointer in enumerate(pointers):
        active_A = np.flatnonzero(pointer.weights_F)
        arrays[f"active_{n}"] = active_A.astype(np.int32)
        arrays[f"weights_{n}"] = pointer.weights_F[active_A].astype(np.float32)
        about.append([pointer.shapes, pointer.lengths, pointer.fixed, pointer.ordinary])
    return arrays, about


def unpack_pointers(arrays: Mapping[str, npt.NDArray[Any]], about: Sequence[Any]) -> list[Pointer]:
    """The pointers that `pack_pointers` packed."""
    out = []
    for n, settings in enumerate(about):
        pointer = Pointer(*settings)
        pointer.weights_F[arrays[f"active_{n}"]] = arrays[f"weights_{n}"]
        out.append(pointer)
    return out
