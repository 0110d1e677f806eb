"""A format of one's own."""

from __future__ import annotations

import pytest

from deputize.core.errors import UsageError
from deputize.core.records import Call
from deputize.stages.collect.importers.base import ImportContext
from deputize.stages.collect.importers.mapped import MappedImporter, parse_field_paths, value_at


def test_paths_lead_into_objects_lists_and_json() -> None:
    row = {"a": {"b": [{"c": 1}]}, "text": '{"x": [5]}', "dotted.name": 2}
    assert (
        value_at(row, "a.b[0].c") == 1
        and value_at(row, "text.x[0]") == 5
        and value_at(row, "dotted.name") == 2
    )
    assert value_at(row, "a.b[3].c") is None and value_at(row, "text.y.z") is None


def test_calls_are_read_by_their_paths() -> None:
    paths = parse_field_paths(
        ["prompt=q.text", "response=a", "user=who", "time=at", "episode=run", "outcome=good", "system=s"]
    )
    importer = MappedImporter(paths)
    row = {
        "q": {"text": "why?"},
        "a": "because",
        "who": "ann",
        "at": 1760000000000,
        "run": 7,
        "good": 1,
        "s": "Be short.",
    }
    assert importer.sniff(row) and not importer.sniff({"q": 1})
    call = importer.parse(row, ImportContext("f", 1, pseudonym=lambda raw, tenant: f"<{raw}>"))
    assert isinstance(call, Call)
    assert [m["content"] for m in call.messages] == ["Be short.", "why?"] and call.response[
        "content"
    ] == "because"
    assert (call.origin, call.timestamp, call.episode) == ("<ann>", 1760000000.0, "7")
    assert call.outcome is not None and call.outcome.reward == 1.0


@pytest.mark.parametrize("given", [["x=y"], ["response"], ["response="], ["response=a"], ["messages=a"]])
def test_what_is_no_mapping_is_refused(given: list[str]) -> None:
    with pytest.raises(UsageError):
        parse_field_paths(given)


@pytest.mark.parametrize(
    ("label", "content"),
    [("cancel", "cancel"), ({"role": "assistant", "content": "x"}, "x"), (None, None), ({}, None)],
)
def test_the_right_answer_of_a_call_comes_with_it(label: object, content: str | None) -> None:
    importer = MappedImporter(parse_field_paths(["prompt=q", "response=a", "label=gold"]))
    call = importer.parse(
        {"q": "why?", "a": "because", "gold": label}, ImportContext("f", 1, pseudonym=lambda raw, tenant: raw)
    )
    assert isinstance(call, Call) and call.response["content"] == "because"
    assert (call.correction["content"] if call.correction is not None else None) == content
