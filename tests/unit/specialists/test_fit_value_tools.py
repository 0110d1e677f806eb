"""Tools learned from a simulated log: arithmetic, tables, and nothing where the log holds neither."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.simulated_orders import PRODUCTS, order, price_list

from deputize.core.errors import BadInput
from deputize.specialists.fit_value_tools import LookupTable, SlotValues, fit_tool, read_table
from deputize.specialists.tokenized_text import TokenizedText
from deputize.specialists.value_tools import Calculator, Lookup, ValueTool

N = 80


def slot(texts: list[str], wanted: list[str], n_subjects: int = 30, least: int = 2) -> SlotValues:
    subjects = [f"p{n % n_subjects}" for n in range(len(texts))]
    return SlotValues(
        [TokenizedText(t) for t in texts], wanted, [f"g{n}" for n in range(len(texts))], subjects, least
    )


def right(tool: ValueTool | None, texts: list[str], wanted: list[str]) -> tuple[int, int]:
    """How many of its values are right, and how many wrong."""
    assert tool is not None
    found = [tool.best(TokenizedText(text)) for text in texts]
    pairs = [(one[0], want) for one, want in zip(found, wanted, strict=True) if one is not None]
    return sum(a == b for a, b in pairs), sum(a != b for a, b in pairs)


def bill(n: int, rule: Callable[[int, int], str], seed: str = "bill") -> tuple[str, str]:
    rng = random.Random(f"{seed}{n}")
    net, rate = rng.randrange(100, 9_000), rng.choice([5, 7, 12, 19, 21])
    day, no = rng.randint(1, 28), rng.randrange(100, 999)
    return f"Invoice {no}\nnet amount: {net},00 EUR\ntax rate: {rate}%\ndue on day {day}".replace(
        ",00", ""
    ), rule(net, rate)


@pytest.mark.parametrize(
    ("operation", "rule"),
    [
        ("a * b / 100", lambda net, rate: f"{net * rate / 100:.2f}"),
        ("a + a * b / 100", lambda net, rate: f"EUR {net * (100 + rate) / 100:,.2f}"),
        ("a - b", lambda net, rate: f"~{net - rate}"),
    ],
)
def test_an_operation_and_its_form_are_found_in_the_log(
    operation: str, rule: Callable[[int, int], str]
) -> None:
    texts, wanted = map(list, zip(*(bill(n, rule) for n in range(N)), strict=True))
    tool = fit_tool(slot(texts, wanted))
    assert isinstance(tool, Calculator) and tool.operation == operation
    fresh, values = map(list, zip(*(bill(n, rule, "fresh") for n in range(40)), strict=True))
    n_right, n_wrong = right(tool, fresh, values)
    assert n_wrong == 0 and n_right >= 36


def test_a_result_that_no_arithmetic_gives_gets_no_tool() -> None:
    texts, wanted = map(
        list, zip(*(bill(n, lambda net, rate: f"{(net * 37 + rate) % 991}") for n in range(N)), strict=True)
    )
    assert fit_tool(slot(texts, wanted)) is None
    half = [
        w if n % 2 else f"{int(t.split()[4]) * 2}" for n, (t, w) in enumerate(zip(texts, wanted, strict=True))
    ]
    assert fit_tool(slot(texts, half)) is None


def test_a_table_explains_codes_and_a_name_that_it_lacks_has_none(tmp_path: Path) -> None:
    (tmp_path / "prices.csv").write_text(price_list())
    table = read_table(tmp_path / "prices.csv")
    texts, wanted = map(list, zip(*((t, a["code"]) for t, a in map(order, range(N))), strict=True))
    assert fit_tool(slot(texts, wanted)) is None
    tool = fit_tool(slot(texts, wanted), [table])
    assert isinstance(tool, Lookup) and tool.name == "prices.csv (name to code)"
    fresh, codes = map(list, zip(*((t, a["code"]) for t, a in map(order, range(500, 540))), strict=True))
    assert right(tool, fresh, codes) == (40, 0)
    unknown = texts[0].replace(next(p for p in PRODUCTS if p in texts[0]), "purple mug")
    assert tool.best(TokenizedText(unknown)) is None


def test_pairs_that_several_people_had_become_a_table_and_those_of_one_do_not() -> None:
    cities = [
        f"{a}{b}" for a in ("Nor", "Sud", "Ost", "Wes") for b in ("berg", "heim", "hausen", "feld", "au")
    ]

    def row(n: int) -> tuple[str, str]:
        at = random.Random(f"c{n}").randrange(len(cities))
        return f"ticket {n * 37 % 1000}\ncity: {cities[at]}\nplease route", f"D-{at * 7 + 11}"

    texts, wanted = map(list, zip(*map(row, range(160)), strict=True))
    texts.append("ticket 5\ncity: Einsiedel\nplease route")
    wanted.append("D-999")
    tool = fit_tool(slot(texts, wanted, n_subjects=50))
    assert isinstance(tool, Lookup) and "einsiedel" not in tool.table and len(tool.table) >= 18
    fresh, codes = map(list, zip(*map(row, range(900, 940)), strict=True))
    n_right, n_wrong = right(tool, fresh, codes)
    assert n_wrong == 0 and n_right >= 36
    assert fit_tool(slot(texts, wanted, n_subjects=1)) is None, "one person's pairs are nobody else's"


def _of_towns(subjects_of: Callable[[int], str], least: int, n: int = 260) -> SlotValues:
    """Tickets that name one of thirteen towns, each with a code of its own; `subjects_of(n)` wrote the n-th."""
    texts = [f"ticket {k * 37 % 1000}\ncity: Town{k % 13}berg\nplease route" for k in range(n)]
    pages = [TokenizedText(text) for text in texts]
    codes = [f"D-{k % 13 * 7 + 11}" for k in range(n)]
    return SlotValues(pages, codes, [f"g{k}" for k in range(n)], [subjects_of(k) for k in range(n)], least)


@pytest.mark.parametrize(
    ("n_people", "least", "learned"), [(2, 1, True), (1, 1, False), (2, 3, False), (3, 3, True)]
)
def test_a_learned_pair_is_of_two_people_and_of_as_many_as_the_log_is_to_share(
    n_people: int, least: int, learned: bool
) -> None:
    # every town has people of its own, who write about it again and again
    slot = _of_towns(lambda k: f"t{k % 13} p{k // 13 % n_people}", least)
    tool = fit_tool(slot)
    assert isinstance(tool, Lookup) is learned
    if isinstance(tool, Lookup):
        assert len(tool.table) == 13


def test_a_key_that_has_another_value_for_somebody_else_is_in_no_table() -> None:
    slot = _of_towns(lambda k: f"p{k}", 2)
    slot.wanted[5] = "D-of-somebody"  # type: ignore[index]
    tool = fit_tool(slot)
    assert isinstance(tool, Lookup) and len(tool.table) == 12 and "town5berg" not in tool.table
    assert tool.best(slot.pages[18]) is None


def test_also_where_that_one_is_not_among_the_prompts_that_a_tool_is_learned_from() -> None:
    slot = _of_towns(lambda k: f"p{k}", 2, n=13 * 101)  # of which every second is looked at
    slot.wanted[605] = "D-of-somebody"  # type: ignore[index]
    tool = fit_tool(slot)
    assert isinstance(tool, Lookup) and len(tool.table) == 12 and "town7berg" not in tool.table


def test_another_slot_of_the_answer_may_be_the_key() -> None:
    rows = [order(n) for n in range(400)]
    texts, wanted = [text for text, _ in rows], [answer["code"] for _, answer in rows]
    names = [next(p for p in PRODUCTS if p in text) for text in texts]
    tool = fit_tool(slot(texts, wanted, n_subjects=200), others={"product": names})
    assert isinstance(tool, Lookup) and "product" in tool.name
    assert (
        right(tool, *map(list, zip(*((t, a["code"]) for t, a in map(order, range(900, 930))), strict=True)))[
            1
        ]
        == 0
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "two columns"),
        ("one\n1\n", "two columns"),
        ("a,b\n1\n", "row 2: 1 cells where the first row has 2"),
        ('a,b\n"1,2\n', "no table in CSV"),
        ("a,b\n\xff,1\n", "UTF-8"),
    ],
)
def test_a_table_that_cannot_be_read_is_named(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "t.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(BadInput, match=said):
        read_table(tmp_path / "t.csv")
    with pytest.raises(BadInput, match="cannot be read: No such file"):
        read_table(tmp_path / "none.csv")


def test_a_table_keeps_no_key_with_two_values() -> None:
    table = LookupTable("t.csv", ["k", "v"], [["mug", "1"], ["Mug", "2"], ["jug", "3"]])
    texts = [f"one {'mug' if n % 2 else 'jug'} for {n}" for n in range(40)]
    assert fit_tool(slot(texts, ["X" if n % 2 else "3" for n in range(40)]), [table]) is None
