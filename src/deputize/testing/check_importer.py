"""The contract suite of importers: what every implementation of `Importer` promises, checked on sample objects."""

from __future__ import annotations

import copy
import gzip
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from deputize.core.artifacts import Skip
from deputize.core.records import Call
from deputize.stages.collect.import_logs import read_calls_with
from deputize.stages.collect.importers.base import ImportContext, Importer, Parsed

_RUBBISH: tuple[Any, ...] = (
    None,
    True,
    3,
    -1.5,
    10**30,
    "",
    "text",
    [],
    [None],
    [[]],
    {},
    {"": {}},
    {"role": []},
    {"a": [{"b": None}]},
)
_PAYLOAD = "payload-of-a-customer"
_SECRET = "Bearer sk-secret-of-an-upstream"


def check_importer(
    importer: Importer,
    samples: Sequence[tuple[dict[str, Any], Parsed]],
    *,
    others: Sequence[dict[str, Any]] = (),
) -> None:
    """Checks an importer against the promises of `importers.base.Importer`.

    Args:
        importer: the importer.
        samples: objects of its format, each with the call (or calls) that it stands for; at least two different ones.
        others: objects of other formats, which it must not take for its own.

    Raises:
        AssertionError: names the promise that is broken.
    """
    assert importer.name and importer.description, "an importer has a name and a description"
    assert len({json.dumps(row) for row, _ in samples}) >= 2, "give at least two different samples"
    samples = copy.deepcopy(
        samples
    )  # an importer that changes its input must not change the caller's samples
    rows = [row for row, _ in samples]
    _check_sniff(importer, rows, others)
    _check_round_trip(importer, samples)
    _check_rubbish(importer, rows)
    _check_headers(importer, rows)
    with tempfile.TemporaryDirectory() as folder:
        _check_files(importer, rows, Path(folder))


def _check_sniff(
    importer: Importer, rows: Sequence[dict[str, Any]], others: Sequence[dict[str, Any]]
) -> None:
    for row in rows:
        before = copy.deepcopy(row)
        assert importer.sniff(row), "sniff is true for the importer's own samples"
        assert row == before, "sniff does not change the object, which other importers are asked about next"
    for row in (*others, {}, {"unrelated": 1}):
        assert not importer.sniff(row), "sniff is false for objects of other formats"


def _check_round_trip(importer: Importer, samples: Sequence[tuple[dict[str, Any], Parsed]]) -> None:
    context = ImportContext("log.jsonl", 1, pseudonym=lambda raw_id, tenant: f"pseudonym-{len(raw_id)}")
    for row, wanted in samples:
        before = copy.deepcopy(row)
        parsed = importer.parse(row, context)
        got = _items(parsed)
        assert all(isinstance(item, Call) for item in got), f"a sample is a call, not {parsed}"
        assert got == _items(wanted), f"a sample is the call that was given with it, not {parsed}"
        assert _items(importer.parse(row, context)) == got, "the same object gives the same call"
        assert row == before, "parse does not change the object"
        for call in got:
            assert call.messages, "a call has messages"
            assert call.response or call.status >= 400, (
                "a call has a response, or a status that says that it failed"
            )


def _check_rubbish(importer: Importer, rows: Sequence[dict[str, Any]]) -> None:
    context = ImportContext("log.jsonl", 7)
    for row in (*_damaged(rows), *({"key": value} for value in _RUBBISH)):
        for item in _items(_never_raises(importer, row, context)):
            assert isinstance(item, Call | Skip), "parse returns a Call or a Skip, or a list of them"
            if isinstance(item, Skip):
                assert item.reason, "a Skip has a reason"
                assert _PAYLOAD not in item.reason, "the reason of a Skip holds nothing of the object"
                assert (item.file, item.line) == ("log.jsonl", 7), "a Skip names the line"
            else:
                msgspec.json.encode(item)  # a call can be stored
    for row in ({}, {"unrelated": 1}):
        found = _items(importer.parse(row, context))
        assert all(isinstance(item, Skip) for item in found), "an object that holds no call is a Skip"


def _items(found: Parsed) -> list[Any]:
    """One result or several, as a list; a JoiningImporter may have nothing to say of a part of a call."""
    return [found] if not isinstance(found, list | tuple) else list(found)


def _never_raises(importer: Importer, row: dict[str, Any], context: ImportContext) -> Parsed:
    try:
        importer.sniff(row)
        return importer.parse(row, context)
    except Exception as error:
        raise AssertionError(f"an importer never raises, but did: {type(error).__name__} on {row}") from error


def _damaged(rows: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Samples with one value missing or in place of it something of another type, at any depth."""
    for row in rows:
        for path in _paths(row):
            yield _changed(row, path, None, remove=True)
            for value in (*_RUBBISH, _PAYLOAD, [_PAYLOAD], {_PAYLOAD: _PAYLOAD}):
                yield _changed(row, path, value)


def _paths(value: Any) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (key,)
        for rest in _paths(inner):
            yield (key, *rest)


def _changed(
    row: dict[str, Any], path: tuple[Any, ...], value: Any, *, remove: bool = False
) -> dict[str, Any]:
    out: Any = copy.deepcopy(row)
    holder = out
    for key in path[:-1]:
        holder = holder[key]
    if remove:
        del holder[path[-1]]
    else:
        holder[path[-1]] = copy.deepcopy(value)
    return out if isinstance(out, dict) else {}


def _check_headers(importer: Importer, rows: Sequence[dict[str, Any]]) -> None:
    """Puts credentials where clients log them: into the object and the objects in it that are no messages."""
    secrets = {
        "headers": {"authorization": _SECRET},
        "extra_headers": {"x-api-key": _SECRET},
        "api_key": _SECRET,
        "Authorization": _SECRET,
    }
    for row in rows:
        marked: dict[str, Any] = copy.deepcopy(row)
        for holder in [marked, *_holders(marked)]:
            holder.update(copy.deepcopy(secrets))
        found = importer.parse(marked, ImportContext("log.jsonl", 1))
        assert _SECRET.encode() not in msgspec.json.encode(found), (
            "headers and keys of the upstream are not kept"
        )


def _holders(value: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for inner in list(value.values()):
        if isinstance(inner, dict) and "role" not in inner:
            yield inner
            if isinstance(inner.get("body"), dict):
                yield inner["body"]


def _check_files(importer: Importer, rows: Sequence[dict[str, Any]], folder: Path) -> None:
    lines = [json.dumps(row).encode() for row in rows]
    plain = folder / "log.jsonl"
    plain.write_bytes(b"\n".join(lines) + b"\n")
    calls = list(read_calls_with([importer], plain))
    assert all(isinstance(call, Call) for call in calls), "every sample is read from a file"
    ids = [call.id for call in calls if isinstance(call, Call)]
    assert all(ids) and len(set(ids)) == len(ids), "different objects get different ids"
    packed = folder / "packed"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    array = folder / "array.json"
    array.write_bytes(b"[" + b",\n".join(lines) + b"]")
    for path in (plain, packed, array):
        assert list(read_calls_with([importer], path)) == calls, "the same log gives the same calls and ids"
    limit = max(map(len, lines)) + 1
    plain.write_bytes(b"\n".join([lines[0], b'{"x": "' + b"y" * limit + b'"}', lines[0]]))
    read = list(read_calls_with([importer], plain, max_value_bytes=limit))
    assert [type(item) for item in read] == [Call, Skip, Call], "a line that is too long is skipped, no other"
