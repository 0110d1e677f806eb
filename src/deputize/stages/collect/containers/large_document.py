"""The records inside one JSON document that is too large to be held whole: streamed out of the list that holds them."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, BinaryIO

from deputize.stages.collect.containers.decompress import UnreadableFile

LISTS = (
    "resourceSpans.item.scopeSpans.item.spans",
    "resourceLogs.item.scopeLogs.item.logRecords",
    "hits.hits",
    "log.entries",
    *(
        "data",
        "items",
        "rows",
        "records",
        "results",
        "calls",
        "logs",
        "traces",
        "observations",
        "runs",
        "events",
        "samples",
        "value",
        "entries",
        "spans",
    ),
)
"""Where exports keep their records, as ijson writes places."""


def large_document_records(head: bytes, rest: BinaryIO) -> Iterator[tuple[dict[str, Any], dict[str, Any]]]:
    """(record, what stands before the list that it is in) for each record of a large document.

    Args:
        head: the beginning of the document.
        rest: what follows it.

    Raises:
        UnreadableFile: no list of records begins in the head, or the document is no JSON from some place on.
    """
    import ijson

    place, around = _list_in(head)
    if not place:
        raise UnreadableFile(
            "one JSON document larger than 64 MiB that holds no list of records that is known"
        )
    try:
        for record in ijson.items(_Joined(head, rest), f"{place}.item", use_float=True):
            yield record if isinstance(record, dict) else {"value": record}, around
    except ijson.IncompleteJSONError:
        raise UnreadableFile("the file is cut off, or no JSON from here on") from None
    except (ijson.JSONError, ValueError, OverflowError):
        raise UnreadableFile("no JSON from here on") from None


def holds_records(head: bytes) -> bool:
    """Check whether a list of records begins in the beginning of a document."""
    return bool(_list_in(head)[0])


def _list_in(head: bytes) -> tuple[str, dict[str, Any]]:
    """(place of the list of records, texts and numbers before it) in the beginning of a document."""
    import ijson

    around: dict[str, Any] = {}
    resource_names: list[str] = []
    try:
        for place, event, value in ijson.parse(io.BytesIO(head), use_float=True):
            if event == "start_array" and place in LISTS:
                if resource_names:
                    around["resource"] = {"attributes": {"service.name": resource_names[-1]}}
                return place, around
            if event in ("string", "number", "boolean") and "." not in place and place:
                around[place] = value
            elif (
                place == "resourceSpans.item.resource.attributes.item.value.stringValue"
                and not resource_names
            ):
                resource_names.append(str(value))
    except ijson.JSONError:
        pass
    return "", around


class _Joined:
    """Two streams, one after the other."""

    def __init__(self, head: bytes, rest: BinaryIO) -> None:
        self._head, self._rest = io.BytesIO(head), rest

    def read(self, size: int = -1) -> bytes:
        return self._head.read(size) or self._rest.read(size)
