"""The reference has a row for every field of the schema, with its unit and meaning."""

from __future__ import annotations

import re
from typing import get_args

import msgspec
import pytest

from deputize.core.report_schema import Report, ReportCost
from deputize.core.report_tasks import ReportLeakTest
from deputize.core.task_results import HeldOut
from deputize.web import report_reference as reference

WITHOUT_UNIT = {"version", "seed", "ranges"}


def test_every_struct_has_a_table_and_every_field_a_row() -> None:
    page = reference.markdown()
    kinds = reference.structs(Report)
    assert {HeldOut, ReportCost, ReportLeakTest} <= set(kinds)
    assert page.count("| field | type | unit | meaning |") == len(kinds)
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.*?) \| (.+) \|$", page, re.MULTILINE)
    assert [name for name, *_ in rows] == [name for kind in kinds for name in kind.__struct_fields__]
    titles = [
        line.removeprefix("## ").lower().replace(" ", "-") for line in page.splitlines() if line[:3] == "## "
    ]
    assert len(titles) == len(set(titles)) and set(re.findall(r"\]\(#([\w-]+)\)", page)) <= set(titles)


def test_every_number_has_a_unit() -> None:
    for kind in reference.structs(Report):
        for name, hint, _ in reference.fields(kind):
            numbers = {int, float} & {
                hint,
                *get_args(hint),
                *(x for part in get_args(hint) for x in get_args(part)),
            }
            if numbers and name not in WITHOUT_UNIT:
                assert reference.unit(name), f"{kind.__name__}.{name}"


def test_units_follow_from_names() -> None:
    named = {
        "n_calls": "count",
        "train_s": "seconds",
        "tokens_per_s": "tokens a second",
        "median_llm_latency_ms": "milliseconds",
        "llm_only_usd": "US dollars",
        "share_served": "share, 0 to 1",
        "loss_difference_interval": "share, -1 to 1",
        "p_value": "probability",
        "name": "",
    }
    assert {name: reference.unit(name) for name in named} == named


class Undocumented(msgspec.Struct):
    """A struct with a field that says nothing."""

    silent: int


def test_a_field_without_a_meaning_is_an_error() -> None:
    with pytest.raises(LookupError, match=r"Undocumented\.silent has no docstring"):
        list(reference.fields(Undocumented))
