"""Documents in prompts."""

from __future__ import annotations

from typing import Any

import pytest

from deputize.wire import documents

DATA = "data:application/pdf;base64,AAAA"
PART = {"type": "file", "file": {"filename": "a.pdf", "file_data": DATA}}
BLOCK = {
    "type": "document",
    "source": {"type": "base64", "media_type": "application/pdf", "data": "AAAA"},
    "title": "a.pdf",
}
ITEM = {"type": "input_file", "filename": "a.pdf", "file_data": DATA}


def test_one_file_in_every_protocol() -> None:
    assert documents.part_of_block(BLOCK) == documents.part_of_item(ITEM) == PART
    assert documents.block_of_part(PART) == BLOCK and documents.item_of_part(PART) == ITEM
    assert documents.is_whole_file(PART)


def test_a_document_of_plain_text_is_text() -> None:
    source = {"type": "text", "media_type": "text/plain", "data": "x"}
    assert documents.part_of_block({"type": "document", "source": source}) == {"type": "text", "text": "x"}


@pytest.mark.parametrize(
    "source", [{"type": "url", "url": "https://x"}, {"type": "file", "file_id": "f"}, None]
)
def test_what_the_request_does_not_hold_stays_as_it_is(source: Any) -> None:
    block = {"type": "document", "source": source}
    assert documents.part_of_block(block) == block
    part = {"type": "file", "file": {"file_id": "f"}}
    assert documents.block_of_part(part) == part and not documents.is_whole_file(part)
    item = {"type": "input_file", "file_id": "f"}
    assert documents.part_of_item(item) == item
