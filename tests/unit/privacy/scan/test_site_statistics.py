"""Statistics of a site: labels, enumerations, and whether dates and numbers are copied."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

from deputize.core.records import Call
from deputize.privacy.date_shift import find_dates
from deputize.privacy.scan.site_statistics import SiteStatistics


def days(text: str) -> frozenset[date]:
    return frozenset(d.day for d in find_dates(text))


def statistics(*replies: tuple[str, Any], **fields: Any) -> SiteStatistics:
    out = SiteStatistics()
    for n, (text, reply) in enumerate(replies):
        content = reply if isinstance(reply, str) else json.dumps(reply)
        response = {"role": "assistant", "content": content}
        out.add(
            Call(id=f"c{n}", messages=[{"role": "user", "content": text}], response=response, **fields), days
        )
    return out


def test_values_of_a_small_set_are_words_and_names_are_not() -> None:
    replies = [
        ("x", {"intent": ("book", "cancel")[n % 2], "name": "Ann", "note": f"n{n}"}) for n in range(60)
    ]
    assert statistics(*replies).words() == {"book", "cancel"}


def test_words_of_schemas_count_at_once() -> None:
    schema = {
        "type": "json_schema",
        "json_schema": {"name": "reply", "schema": {"properties": {"a": {"enum": ["x"]}}}},
    }
    assert {"a", "x", "reply"} <= statistics(("q", {"a": "x"}), response_format=schema).words()


def test_dates_and_numbers_that_are_computed_are_noticed() -> None:
    copied = statistics(
        *[(f"on 2024-03-{n:02d} for 1{n:03d}", f"2024-03-{n:02d}: 1{n:03d}") for n in range(1, 20)]
    )
    assert copied.dates_are_copied and copied.numbers_are_copied
    computed = statistics(
        *[(f"on 2024-03-{n:02d} for 1{n:03d}", f"2024-04-{n:02d}: 3{n:03d}") for n in range(1, 20)]
    )
    assert not computed.dates_are_copied and not computed.numbers_are_copied
