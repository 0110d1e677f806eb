"""Objects go to the importer that recognises them."""

from __future__ import annotations

from typing import Any

from deputize.core.artifacts import Skip
from deputize.core.records import Call
from deputize.stages.collect.containers.log_objects import LogObject
from deputize.stages.collect.importers.registry import importers_for
from deputize.stages.collect.log_reader import LogReader, ReadItem

CALL = {"messages": [{"role": "user", "content": "x"}], "response": "y"}


def read(*rows: Any, format: str = "auto") -> list[ReadItem]:
    reader = LogReader(importers_for(format))
    found = [item for n, row in enumerate(rows, 1) for item in reader.read(LogObject("f", n, row))]
    return [*found, *reader.finish()]


def test_wrappers_are_opened_and_formats_are_named() -> None:
    found = read({"data": [CALL, {"items": [CALL]}]})
    assert [(type(one.item), one.format, one.file) for one in found] == [(Call, "calls", "f")] * 2


def test_an_unknown_object_names_its_keys_but_not_its_words() -> None:
    (found,) = read({"level": "info", "My parcel never came.": "delivery"})
    assert (
        isinstance(found.item, Skip) and found.item.keys == ["level"] and "no messages" in found.item.reason
    )


def test_what_could_not_be_read_is_passed_on() -> None:
    skip = Skip(file="f", line=1, reason="not JSON")
    assert [one.item for one in read(skip)] == [skip]


def test_a_single_importer_reads_inside_wrappers_too() -> None:
    assert [type(one.item) for one in read({"data": [CALL]}, {"x": 1}, format="calls")] == [Call, Skip]


def test_records_under_a_name_that_nobody_foresaw_are_found() -> None:
    wrapped: list[dict[str, Any]] = [{"my_calls": [CALL, CALL], "n": 2}, {"c1": CALL, "c2": CALL}]
    for row in wrapped:
        assert [type(one.item) for one in read(row)] == [Call, Call]
    alone: list[dict[str, Any]] = [
        {"response": {"role": "assistant", "content": "x"}},
        {"turns_of": [{"role": "user", "content": "x"}]},
    ]
    for row in alone:
        assert [type(one.item) for one in read(row)] == [Skip], "messages alone are no call"
    (found,) = read({"people": [{"name": "Ann"}], "n": 1})
    assert isinstance(found.item, Skip) and found.item.keys == ["people", "n"]


def test_columns_may_be_written_in_capitals() -> None:
    (found,) = read({"Prompt": "U", "Completion": "A", "Session ID": "s"})
    assert isinstance(found.item, Call) and (found.item.response["content"], found.item.episode) == ("A", "s")
