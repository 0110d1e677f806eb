"""Records of large documents."""

from __future__ import annotations

import io
import json

import pytest

from deputize.stages.collect.containers.decompress import UnreadableFile
from deputize.stages.collect.containers.large_document import large_document_records


def test_spans_keep_the_name_of_their_service() -> None:
    attributes = [{"key": "service.name", "value": {"stringValue": "desk"}}]
    spans = [{"name": f"s{n}"} for n in range(5)]
    document = {"resourceSpans": [{"resource": {"attributes": attributes}, "scopeSpans": [{"spans": spans}]}]}
    data = json.dumps(document).encode()
    found = list(large_document_records(data[:180], io.BytesIO(data[180:])))
    assert [record for record, _ in found] == spans
    assert found[0][1]["resource"]["attributes"]["service.name"] == "desk"


def test_a_cut_document_gives_what_is_whole() -> None:
    data = json.dumps({"data": [{"n": n} for n in range(50)]}).encode()[:-20]
    seen = []
    with pytest.raises(UnreadableFile, match="cut off"):
        for record, _ in large_document_records(data[:50], io.BytesIO(data[50:])):
            seen.append(record)
    assert seen[:2] == [{"n": 0}, {"n": 1}] and len(seen) > 30
