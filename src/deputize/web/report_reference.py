"""Writer of docs/reference/report.md from the schema:
`python -m deputize.web.report_reference > docs/reference/report.md`.

A field's meaning is the docstring below it; its unit follows from its name.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import re
import sys
import types
from collections.abc import Iterator
from functools import cache
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from deputize.core.report_schema import REPORT_VERSION, Report

UNITS: tuple[tuple[str, str], ...] = (
    (r"^n_cores$", "cores"),
    (r"^(train|validation)$", "nats"),
    (r"^epoch$", "count"),
    (r"^(n_|errors_on_|break_even_calls$|units_needed$)", "count"),
    (r"^(dropped|unassigned|models|agents|tenants)$", "calls"),
    (r"^skipped$", "lines"),
    (r"^repeats$", "examples"),
    (r"^entities$", "places"),
    (r"^tokens_per_s$", "tokens a second"),
    (r"_usd$", "US dollars"),
    (r"(_s|^seconds|^seconds_per_call)$", "seconds"),
    (r"_ms$", "milliseconds"),
    (r"_wh$", "Wh"),
    (r"_co2e_g$", "g CO2e"),
    (r"(_bits|^bits_(remaining|total)|^mean_exposure|^max_exposure)$", "bits"),
    (r"(^prompt_tokens_|_tokens$)", "tokens"),
    (r"^(p_|delta$|test_level$|delta_left$)", "probability"),
    (r"(^|_)days$", "days"),
    (r"^(renew_after_calls|calls_per_month|largest)$", "calls"),
    (r"^not_evaluated$", "numbers of episodes"),
    (r"^(loss_difference|quality_difference)", "share, -1 to 1"),
    (r"(^threshold|^start$|_confidence)$", "confidence, 0 to 1"),
    (
        r"^(share|(smallest_)?epsilon$|loss|(served|differs)_limit$|audit_share$|stake$|agreement|finished$|flagged|ood_(power|given_up)$)|(_accuracy|_interval)$|(^|_)coverage(_|$)",
        "share, 0 to 1",
    ),
)
"""The first pattern that a field's name matches gives its unit; names that match none have none."""

INTRODUCTION = f"""# report.json

`deputize convert` writes `runs/RUN/report.json` in the home, and `report.html`, the same for reading. `deputize --json
report` prints it. This page is generated from the schema in `core/report_schema.py`; the schema's version is {REPORT_VERSION}.

Every field is present unless the table says otherwise. What is not known is `null`. Shares of calls are of the calls meant
for code (those whose reply a program reads) unless the meaning says otherwise.
"""


def markdown() -> str:
    """The page."""
    parts = [INTRODUCTION]
    for kind in structs(Report):
        parts.append(f"## {_title(kind)}\n\n{inspect.getdoc(kind)}\n")
        rows = [
            f"| `{name}` | {_words(hint)} | {unit(name)} | {meaning} |"
            for name, hint, meaning in fields(kind)
        ]
        parts.append("\n".join(["| field | type | unit | meaning |", "|---|---|---|---|", *rows]) + "\n")
    return "\n".join(parts)


def structs(root: type[msgspec.Struct]) -> list[type[msgspec.Struct]]:
    """The root and every struct that can be reached from its fields, each once, in the order they are met."""
    found: list[type[msgspec.Struct]] = []
    waiting = [root]
    while waiting:
        kind = waiting.pop(0)
        if kind not in found:
            found.append(kind)
            waiting += [inner for hint in _hints(kind).values() for inner in _structs_in(hint)]
    return found


def fields(kind: type[msgspec.Struct]) -> Iterator[tuple[str, Any, str]]:
    """(name, type, meaning) of each field of a struct, those it inherits included.

    Raises:
        LookupError: a field has no docstring.
    """
    hints = _hints(kind)
    for name in kind.__struct_fields__:
        meanings = [
            docs[name]
            for base in kind.__mro__
            if name in (docs := field_docstrings(base.__module__, base.__name__))
        ]
        if not meanings:
            raise LookupError(f"{kind.__name__}.{name} has no docstring")
        yield name, hints[name], " ".join(meanings[0].split()).replace("|", "\\|")


def unit(name: str) -> str:
    """The unit of a field, by its name; "" where it has none."""
    return next((unit for pattern, unit in UNITS if re.search(pattern, name)), "")


@cache
def _hints(kind: type[msgspec.Struct]) -> dict[str, Any]:
    return get_type_hints(kind)


@cache
def field_docstrings(module: str, name: str) -> dict[str, str]:
    """Field -> the string below it in the source of a class of this package; {} for other classes.

    Args:
        module: of the class, imported already.
        name: of the class.
    """
    if module == "builtins" or not module.startswith("deputize."):
        return {}
    tree = ast.parse(inspect.getsource(sys.modules[module]))
    body = next((node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name), [])
    return {
        field.target.id: text.value.value
        for field, text in itertools.pairwise(body)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
        and isinstance(text.value.value, str)
    }


def _structs_in(hint: Any) -> list[type[msgspec.Struct]]:
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return [hint]
    return [inner for part in get_args(hint) for inner in _structs_in(part)]


def _title(kind: type[msgspec.Struct]) -> str:
    """A struct's name as a heading: ReportTaskCost -> Task cost."""
    name = kind.__name__.removeprefix("Report") or "The document"
    words = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return words[0] + words[1:].lower()


def _words(hint: Any) -> str:
    """A type in the words of JSON, with links to the tables of structs."""
    if hint is msgspec.UnsetType:
        return "absent"
    if hint is type(None):
        return "null"
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        title = _title(hint)
        return f"[{title.lower()}](#{title.lower().replace(' ', '-')})"
    origin, parts = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return " or ".join(_words(p) for p in parts)
    if origin is Literal:
        return " or ".join(f'"{p}"' for p in parts)
    if origin is dict:
        return f"object of {_words(parts[1])}"
    if origin is list:
        return f"list of {_words(parts[0])}"
    if origin is tuple:
        return f"pair of {_words(parts[0])}"
    return {str: "text", int: "integer", float: "number", bool: "boolean"}[hint]


if __name__ == "__main__":
    sys.stdout.write(markdown())
