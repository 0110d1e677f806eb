"""The messages, reasons and codes of docs/troubleshooting.md are those of the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

from deputize.core import errors
from deputize.core.decision_reason import DecisionReason

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "troubleshooting.md").read_text("utf-8")


def first_cells(head: str) -> Iterator[str]:
    """The first cell of each row of the tables with this heading over it."""
    for table in re.findall(rf"^\| {head} \|.*\n\|[-|]+\n((?:\|.*\n)+)", PAGE, re.MULTILINE):
        yield from (row.split(" | ")[0].removeprefix("| ") for row in table.splitlines())


def texts_of_the_code() -> str:
    """Every text in the source, those of f-strings with their values left out."""
    found = []
    for path in (ROOT / "src" / "deputize").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.JoinedStr):
                found.append(
                    "".join(str(v.value) if isinstance(v, ast.Constant) else "\0" for v in node.values)
                )
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return "\n".join(found)


def test_every_message_is_one_of_the_code() -> None:
    texts = texts_of_the_code()
    messages = [m for cell in first_cells("message") for m in re.findall(r"`([^`]+)`", cell)]
    assert len(messages) >= 10
    for message in messages:
        for part in (p.strip() for p in message.split("...")):
            assert len(part) < 4 or part in texts, f"{part!r} of {message!r}"


def test_every_reason_is_one_of_a_decision() -> None:
    reasons = [r for cell in first_cells("reason") for r in re.findall(r"`([^`]+)`", cell)]
    assert reasons and set(reasons) <= set(get_args(DecisionReason))


def test_every_code_has_its_status() -> None:
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type)]
    known = {(k.http_status, k.code) for k in kinds if issubclass(k, errors.DeputizeError)}
    rows = re.findall(r"^\| (\d{3})(?:, (\d{3}))? \| `(\w+)`(?:, `(\w+)`)? \|", PAGE, re.MULTILINE)
    assert len(rows) >= 6
    for first, second, code, other in rows:
        assert (int(first), code) in known, code
        assert not second or (int(second), other) in known, other
