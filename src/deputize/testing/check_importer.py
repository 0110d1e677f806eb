"""The contract suite of importers: what every implementation of `Importer` promises, checked on sample objects."""

from __future__ import annotations

import copy
import gzip
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from deputize.core.artifacts import Skip
from deputize.core.records import Call
from deputize.stages.collect.import_logs import read_calls_with
from deputize.stages.collect.importers.base import ImportContext, Importer, JoiningImporter, Parsed

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


Sample: TypeAlias = "tuple[dict[str, Any] | Sequence[dict[str, Any]], Parsed]"
"""(an object of the format, or the objects that make a call together; what they stand for)."""


def check_importer(
    importer: Importer,
    samples: Sequence[Sample],
    *,
    others: Sequence[dict[str, Any]] = (),
) -> None:
    """Checks an importer against the promises of `importers.base.Importer`.

    Args:
        importer: the importer.
        samples: objects of its format, each with the call (or calls) that it stands for; at least two different ones.
            Of a `JoiningImporter` a sample may be a list of objects.
        others: objects of other formats, which it must not take for its own.

    Raises:
        AssertionError: names the promise that is broken.
    """
    assert importer.name and importer.description, "an importer has a name and a description"
    # an importer that changes its input must not change the caller's samples
    given = [(_rows(rows), wanted) for rows, wanted in copy.deepcopy(samples)]
    assert len({json.dumps(rows) for rows, _ in given}) >= 2, "give at least two different samples"
    _check_sniff(importer, [row for rows, _ in given for row in rows], others)
    _check_round_trip(importer, given)
    _check_rubbish(importer, [rows for rows, _ in given])
    _check_headers(importer, [rows for rows, _ in given])
    with tempfile.TemporaryDirectory() as folder:
        _check_files(importer, [row for rows, _ in given for row in rows], Path(folder))


def _rows(sample: dict[str, Any] | Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    return [sample] if isinstance(sample, dict) else list(sample)


def _parsed(importer: Importer, rows: Sequence[dict[str, Any]], context: ImportContext) -> list[Any]:
    """The results of parsing one object, or of joining several."""
    if len(rows) == 1:
        return _items(importer.parse(rows[0], context))
    assert isinstance(importer, JoiningImporter), "only a format that joins has samples of several objects"
    joiner = importer.joiner()
    return [item for row in rows for item in joiner.add(row, context)] + list(joiner.finish())


def _items(found: Parsed) -> list[Any]:
    return list(found) if isinstance(found, list | tuple) else [found]


def _check_sniff(
    importer: Importer, rows: Sequence[dict[str, Any]], others: Sequence[dict[str, Any]]
) -> None:
    for row in rows:
        before = copy.deepcopy(row)
        assert importer.sniff(row), "sniff is true for the importer's own samples"
        assert row == before, "sniff does not change the object, which other importers are asked about next"
    for row in (*others, {}, {"unrelated": 1}):
        assert not importer.sniff(row), "sniff is false for objects of other formats"


def _check_round_trip(importer: Importer, samples: Sequence[tuple[list[dict[str, Any]], Parsed]]) -> None:
    context = ImportContext("log.jsonl", 1, pseudonym=lambda raw_id, tenant: f"pseudonym-{len(raw_id)}")
    for rows, wanted in samples:
        before = copy.deepcopy(rows)
        got = _parsed(importer, rows, context)
        assert all(isinstance(item, Call | Skip) for item in got), f"a sample is a call, not {got}"
        assert any(isinstance(item, Call) for item in got), f"a sample is a call, not {got}"
        assert got == _items(wanted), f"a sample is the call that was given with it, not {got}"
        assert _parsed(importer, rows, context) == got, "the same object gives the same call"
        assert rows == before, "parse does not change the object"
        for call in got:
            if isinstance(call, Call):
                assert call.messages, "a call has messages"
                assert call.response or call.status >= 400, (
                    "a call has a response, or a status that says that it failed"
                )


def _check_rubbish(importer: Importer, samples: Sequence[list[dict[str, Any]]]) -> None:
    context = ImportContext("log.jsonl", 7)
    damaged = [
        [*rows[:n], bad, *rows[n + 1 :]]
        for rows in samples
        for n in range(len(rows))
        for bad in _damaged(rows[n : n + 1])
    ]
    for rows in (*damaged, *([{"key": value}] for value in _RUBBISH)):
        for item in _never_raises(importer, rows, context):
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


def _never_raises(importer: Importer, rows: list[dict[str, Any]], context: ImportContext) -> list[Any]:
    try:
        for row in rows:
            importer.sniff(row)
        return _parsed(importer, rows, context)
    except Exception as error:
        raise AssertionError(
            f"an importer never raises, but did: {type(error).__name__} on {rows}"
        ) from error


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


def _check_headers(importer: Importer, samples: Sequence[list[dict[str, Any]]]) -> None:
    """Puts credentials where clients log them: into the object and the objects in it that are no messages."""
    secrets = {
        "headers": {"authorization": _SECRET},
        "extra_headers": {"x-api-key": _SECRET},
        "api_key": _SECRET,
        "Authorization": _SECRET,
    }
    for rows in samples:
        marked: list[dict[str, Any]] = copy.deepcopy(rows)
        for row in marked:
            for holder in [row, *_holders(row)]:
                holder.update(copy.deepcopy(secrets))
        found = _parsed(importer, marked, ImportContext("log.jsonl", 1))
        assert _SECRET.encode() not in msgspec.json.encode(found), (
            "headers and keys of the upstream are not kept"
        )


def _holders(value: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for inner in list(value.values()):
        if isinstance(inner, dict) and "role" not in inner:
            yield inner
            if isinstance(inner.get("body"), dict):
                yield inner["body"]


def _calls_of(items: Sequence[Call | Skip]) -> list[Call]:
    return [item for item in items if isinstance(item, Call)]


def _check_files(importer: Importer, rows: Sequence[dict[str, Any]], folder: Path) -> None:
    lines = [json.dumps(row).encode() for row in rows]
    plain = folder / "log.jsonl"
    plain.write_bytes(b"\n".join(lines) + b"\n")
    calls = list(read_calls_with([importer], plain))
    lost = [item for item in calls if isinstance(item, Skip) and not item.is_no_call]
    assert calls and not lost, "every sample is read from a file"
    ids = [call.id for call in calls if isinstance(call, Call)]
    assert all(ids) and len(set(ids)) == len(ids), "different objects get different ids"
    packed = folder / "packed"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    array = folder / "array.json"
    array.write_bytes(b"[" + b",\n".join(lines) + b"]")
    for path in (plain, packed, array):
        again = list(read_calls_with([importer], path))
        assert _calls_of(again) == _calls_of(calls), "the same log gives the same calls and ids"
    if isinstance(importer, JoiningImporter):
        return
    limit = max(map(len, lines)) + 1
    plain.write_bytes(b"\n".join([lines[0], b'{"x": "' + b"y" * limit + b'"}', lines[0]]))
    read = list(read_calls_with([importer], plain, max_value_bytes=limit))
    kinds = [type(item) for item in read]
    n_calls = kinds.count(Call) // 2
    assert kinds == [Call] * n_calls + [Skip] + [Call] * n_calls and n_calls, (
        "a line that is too long is skipped, no other"
    )
