"""Learns from train which slots a tool explains: results of arithmetic on numbers of the prompt, and values that
stand beside a key in a table.

A tool is kept only where it gives nearly all of a slot's values in train letter for letter. What it is worth is
measured later, on validation and by the certificate, like that of any specialist.
"""

from __future__ import annotations

import csv
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import permutations
from pathlib import Path
from typing import NamedTuple

from deputize.core.errors import BadInput
from deputize.core.subjects import Subjects
from deputize.specialists.pointer import fit_pointer
from deputize.specialists.tokenized_text import TokenizedText
from deputize.specialists.value_tools import (
    OPERATIONS,
    Calculator,
    Lookup,
    NumberForm,
    ValueTool,
    calculated,
    folded_key,
    number_of,
)

EXPLAINED = 0.8
"""Share of a slot's values in train that a calculator, or a table that was given, must explain."""
EXPLAINED_BY_TRAIN = 0.5
"""That for a table made of train itself: keys that are rare there are not in it."""
RIGHT = 0.95
"""Share of what a tool answers in train that must be right."""
MAX_NUMBERS = 16
"""Numbers of a prompt that are tried as operands: the first ones."""
MAX_ROWS, MAX_BYTES = 100_000, 16 << 20
"""Of a table that is given."""
MAX_EXAMPLES = 1000
"""Of train that a tool is learned from: of more every second, third, ..."""
GLANCE = 60
"""Prompts after which an operation that explains few is left alone."""
KEY_PIECES = 6
_ROUNDS = 3
_CORE = re.compile(r"[-+]?[0-9](?:[0-9,]*[0-9])?(?:\.[0-9]+)?")


class LookupTable(NamedTuple):
    """A table that a user gives."""

    name: str
    columns: list[str]
    rows: list[list[str]]


def read_table(path: Path) -> LookupTable:
    """A table from a CSV file whose first line names its columns.

    Raises:
        BadInput: it is not there, or no such table; the sentence says where.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise BadInput(f"{path} is larger than {MAX_BYTES >> 20} MiB, the most that a table may have.")
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = [line for line in csv.reader(file, strict=True) if line]
    except OSError as error:
        raise BadInput(f"The table {path} cannot be read: {error.strerror}.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{path} is no table in CSV and UTF-8: {error}.") from error
    if len(lines) < 2 or len(lines[0]) < 2:
        raise BadInput(f"{path} is no table: it needs a line with names of two columns at least, and rows.")
    if len(lines) > MAX_ROWS:
        raise BadInput(f"{path} has {len(lines):,} rows; a table may have {MAX_ROWS:,}.")
    for n, line in enumerate(lines):
        if len(line) != len(lines[0]):
            raise BadInput(f"{path}, row {n + 1}: {len(line)} cells where the first row has {len(lines[0])}.")
    return LookupTable(path.name, lines[0], lines[1:])


class SlotValues(NamedTuple):
    """A slot in train: the prompts, the texts that it had there, and whose data each is."""

    pages: Sequence[TokenizedText]
    wanted: Sequence[str]
    groups: Sequence[str]
    subjects: Sequence[str]
    least: int
    """Data subjects that must share what is kept in clear."""

    def some(self, chosen: Sequence[int]) -> SlotValues:
        """Those of some prompts alone."""
        pages, wanted = [self.pages[n] for n in chosen], [self.wanted[n] for n in chosen]
        groups, subjects = [self.groups[n] for n in chosen], [self.subjects[n] for n in chosen]
        return SlotValues(pages, wanted, groups, subjects, self.least)


def fit_tool(
    slot: SlotValues,
    tables: Sequence[LookupTable] = (),
    others: Mapping[str, Sequence[str | None]] | None = None,
) -> ValueTool | None:
    """A tool that gives the values of a slot; None where none explains enough of train.

    Args:
        slot: in train.
        tables: those that the user gives.
        others: values of other slots of the same answers by name, which may be keys; None in the place of one that is
            not there.
    """
    step = max(1, -(-len(slot.wanted) // MAX_EXAMPLES))
    some = slot.some(range(0, len(slot.wanted), step)) if step > 1 else slot
    learned = _learned_lookups(slot, some, step, others or {})
    for found in (_calculator(some), *_lookups(some, tables), *learned):
        if found is not None and _is_right(found, some):
            return found
    return None


def _is_right(tool: ValueTool, slot: SlotValues) -> bool:
    given = [
        (one[0], wanted)
        for one, wanted in zip(map(tool.best, slot.pages), slot.wanted, strict=True)
        if one is not None
    ]
    n_right = sum(text == wanted for text, wanted in given)
    return len(given) >= EXPLAINED_BY_TRAIN * len(slot.wanted) and n_right >= RIGHT * len(given)


# -- arithmetic


class _Operand(NamedTuple):
    text: str
    value: Decimal
    context: tuple[str, ...]


def _operands(page: TokenizedText) -> list[_Operand]:
    """The numbers of a prompt, with what tells their roles."""
    out: list[_Operand] = []
    for i, j, shape in page.runs((1, 2)):
        text = page.between(i, j)
        value = number_of(text)
        if value is None or (j - i == 2 and page.gaps[i] != ","):
            continue
        left = page.words[i - 1] if i else "^"
        left2 = page.words[i - 2] if i > 1 else "^"
        right = page.words[j] if j < len(page.words) else "$"
        context = (f"< {left}", f"<< {left2} {left}", f"> {right}", f"head {page.heads[i]}", f"shape {shape}")
        out.append(_Operand(text, value, context))
    return out[:MAX_NUMBERS]


def _form_of(wanted: Sequence[str]) -> NumberForm | None:
    """The form that most of a slot's texts have; None where too few are numbers."""
    cores = [list(_CORE.finditer(text)) for text in wanted]
    found = [
        ((text[: one[0].start()], text[one[0].end() :]), Decimal(one[0].group().replace(",", "")), text)
        for text, one in zip(wanted, cores, strict=True)
        if len(one) == 1
    ]
    around = Counter(where for where, _, _ in found).most_common(1)[0][0] if found else ("", "")
    known = [(text, number) for where, number, text in found if where == around]
    if len(known) < EXPLAINED * len(wanted) or not known:
        return None
    decimals = min(6, max(-int(number.as_tuple().exponent) for _, number in known))
    ways = [
        *((kind, json, False, "", "") for kind in ("integer", "float", "shortest") for json in (True, False)),
        *(("text", False, grouped, *around) for grouped in (False, True)),
        ("plain", False, False, *around),
    ]
    forms = [
        NumberForm(kind, decimals, half_up, json, grouped, before, after)
        for kind, json, grouped, before, after in ways
        for half_up in (True, False)
    ]
    best = max(forms, key=lambda form: sum(form.write(number) == text for text, number in known))
    n_written = sum(best.write(number) == text for text, number in known)
    return best if n_written >= EXPLAINED * len(wanted) else None


def _calculator(slot: SlotValues) -> Calculator | None:
    form = _form_of(slot.wanted)
    if form is None:
        return None
    operands = [_operands(page) for page in slot.pages]
    best: tuple[int, str, NumberForm, dict[int, list[tuple[_Operand, ...]]]] | None = None
    for operation in OPERATIONS:
        for rounding in (form, form._replace(half_up=not form.half_up)):
            ways = _ways(operation, rounding, operands, slot.wanted)
            if best is None or len(ways) > best[0]:
                best = len(ways), operation, rounding, ways
    assert best is not None
    n, operation, form, ways = best
    if n < EXPLAINED * len(slot.wanted):
        return None
    chosen = _roles(ways)
    mine = slot.some(list(chosen))
    pointers = [
        fit_pointer(
            mine.pages,
            [way[role].text for way in chosen.values()],
            groups=mine.groups,
            subjects=Subjects(mine.subjects, mine.least),
        )
        for role in range(OPERATIONS[operation][0])
    ]
    fitted = [pointer for pointer in pointers if pointer is not None]
    return Calculator(operation, form, fitted) if len(fitted) == len(pointers) else None


def _ways(
    operation: str, form: NumberForm, operands: Sequence[Sequence[_Operand]], wanted: Sequence[str]
) -> dict[int, list[tuple[_Operand, ...]]]:
    """For each prompt whose value the operation explains, the operands that do."""
    n_operands = OPERATIONS[operation][0]
    out = {}
    for n, (found, text) in enumerate(zip(operands, wanted, strict=True)):
        ways = [
            way
            for way in permutations(found, n_operands)
            if calculated(operation, form, [one.value for one in way]) == text
        ]
        if ways:
            out[n] = ways
        if n == GLANCE and len(out) < EXPLAINED / 2 * GLANCE:
            break
    return out


def _roles(ways: Mapping[int, list[tuple[_Operand, ...]]]) -> dict[int, tuple[_Operand, ...]]:
    """One way for each prompt, so that the operands of a role stand in like places: chosen by what the others have
    around them, again and again."""
    chosen = {n: found[0] for n, found in ways.items() if len(found) == 1} or {
        n: found[0] for n, found in ways.items()
    }
    for _ in range(_ROUNDS):
        seen = Counter(
            (role, feature)
            for way in chosen.values()
            for role, one in enumerate(way)
            for feature in one.context
        )
        chosen = {n: max(found, key=lambda way: _familiar(way, seen)) for n, found in ways.items()}
    return chosen


def _familiar(way: Sequence[_Operand], seen: Mapping[tuple[int, str], int]) -> float:
    return sum(
        math.log1p(seen.get((role, feature), 0)) for role, one in enumerate(way) for feature in one.context
    )


# -- tables


def _lookups(slot: SlotValues, tables: Sequence[LookupTable]) -> Iterator[Lookup | None]:
    """A lookup for the pair of columns that explains most of a slot, if any explains enough."""
    is_json = sum(text.startswith("~") for text in slot.wanted) > len(slot.wanted) / 2
    spans = [_spans(page) for page in slot.pages]
    best: tuple[int, Mapping[str, str], str, dict[int, str]] | None = None
    for table in tables:
        for k, v in permutations(range(len(table.columns)), 2):
            pairs = _pairs((row[k], f"~{row[v]}" if is_json else row[v]) for row in table.rows)
            keys = {
                n: key
                for n, (found, wanted) in enumerate(zip(spans, slot.wanted, strict=True))
                if (key := _key(found, pairs, wanted)) is not None
            }
            if best is None or len(keys) > best[0]:
                name = f"{table.name} ({table.columns[k]} to {table.columns[v]})"
                best = len(keys), pairs, name, keys
    if best is not None and best[0] >= EXPLAINED * len(slot.wanted):
        yield _lookup(slot, best[1], best[2], best[3])


def _learned_lookups(
    slot: SlotValues, some: SlotValues, step: int, others: Mapping[str, Sequence[str | None]]
) -> Iterator[Lookup | None]:
    """Lookups in tables made of train: what stands after a heading, or another slot of the answer, has the value
    beside it.

    Sources are compared on some prompts, every `step`-th; a table is made of all, since a key with one value there
    may have another one in the rest.
    """
    spans = [_spans(page) for page in some.pages]
    heads = Counter(head for page in some.pages for head in set(page.heads) if head)
    sources: list[tuple[str, str, list[str | None]]] = [
        (name, "", list(texts[::step])) for name, texts in others.items()
    ]
    sources += [
        (f"after {head!r}", head, [_after(page, head) for page in some.pages])
        for head, n in heads.most_common(32)
        if n >= EXPLAINED * len(some.pages)
    ]
    enough = []
    for name, head, texts in sources:
        keys = _keys_found(_shared_pairs(some, texts), spans, texts, some.wanted)
        if len(keys) >= EXPLAINED_BY_TRAIN * len(some.wanted):
            enough.append((len(keys), name, head, texts))
    for _, name, head, texts in sorted(enough, key=lambda one: -one[0]):
        whole = [_after(page, head) for page in slot.pages] if head else others[name]
        pairs = _shared_pairs(slot, whole)
        keys = _keys_found(pairs, spans, texts, some.wanted)
        yield _lookup(some, pairs, f"{len(pairs):,} pairs of train, by {name}", keys) if keys else None


def _keys_found(
    pairs: Mapping[str, str],
    spans: Sequence[Mapping[str, str]],
    texts: Sequence[str | None],
    wanted: Sequence[str],
) -> dict[int, str]:
    """For each prompt in which a key with the wanted value stands, the key as it stands there."""
    return {
        n: runs[folded_key(text)]
        for n, (runs, text, want) in enumerate(zip(spans, texts, wanted, strict=True))
        if text is not None and pairs.get(folded_key(text)) == want and folded_key(text) in runs
    }


def _shared_pairs(slot: SlotValues, texts: Sequence[str | None]) -> dict[str, str]:
    """Keys that had one value alone in train, and that with it came from enough data subjects, two at least."""
    values: dict[str, set[str]] = {}
    who: dict[str, set[str]] = {}
    for text, wanted, subject in zip(texts, slot.wanted, slot.subjects, strict=True):
        if text is not None:
            values.setdefault(folded_key(text), set()).add(wanted)
            who.setdefault(folded_key(text), set()).add(subject)
    least = max(2, slot.least)
    return {
        key: next(iter(found)) for key, found in values.items() if len(found) == 1 and len(who[key]) >= least
    }


def _pairs(cells: Iterator[tuple[str, str]] | Sequence[tuple[str, str]]) -> dict[str, str]:
    """Folded key -> value; a key with several values has none."""
    values: dict[str, set[str]] = {}
    for key, value in cells:
        if key.strip() and value.strip("~ "):
            values.setdefault(folded_key(key), set()).add(value)
    return {key: next(iter(found)) for key, found in values.items() if len(found) == 1}


def _spans(page: TokenizedText) -> dict[str, str]:
    """Folded run of a prompt -> the run as it stands."""
    texts = [page.between(i, j) for i, j, _ in page.runs(range(1, KEY_PIECES + 1))]
    return {folded_key(text): text for text in texts}


def _key(found: Mapping[str, str], pairs: Mapping[str, str], wanted: str) -> str | None:
    """The longest run of a prompt that is a key with the wanted value."""
    keys = [key for key in found if pairs.get(key) == wanted]
    return found[max(keys, key=len)] if keys else None


def _after(page: TokenizedText, head: str) -> str | None:
    """The text after a heading and its colon on one line, where it is one run."""
    at = [i for i, one in enumerate(page.heads) if one == head]
    start = page.text.find(":", page.spans[at[0]][0] if at else 0) if at else -1
    line = page.text[start + 1 : page.text.find("\n", start) if "\n" in page.text[start:] else None]
    return line.strip() or None if start >= 0 else None


def _lookup(slot: SlotValues, pairs: Mapping[str, str], name: str, keys: Mapping[int, str]) -> Lookup | None:
    mine = slot.some(list(keys))
    pointer = fit_pointer(
        mine.pages, list(keys.values()), groups=mine.groups, subjects=Subjects(mine.subjects, mine.least)
    )
    return None if pointer is None else Lookup(pairs, name, pointer)
