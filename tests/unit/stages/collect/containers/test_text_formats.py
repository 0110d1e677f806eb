"""What text is, detected by its first bytes."""

from __future__ import annotations

import io

import pytest

from deputize.stages.collect.containers.decompress import UnreadableFile
from deputize.stages.collect.containers.text_formats import csv_delimiter, text_form, without_bom


@pytest.mark.parametrize(
    ("head", "name", "form"),
    [
        (b'  {"a"', "x", "json"),
        (b"[1]", "x.csv", "json"),
        (b"\x1e{}", "x", "json"),
        (b"id,prompt\n1,2", "x", "csv"),
        (b"just one column\n1", "x.csv", "csv"),
        (b"interactions:\n- request:\n", "x", "yaml"),
        (b"a: 1\n", "x.yml", "yaml"),
        (b"PAR1xxxx", "x", "parquet"),
        (b" \n", "x", "empty"),
        (b'12:00 info {"a": 1}', "x", "json"),
    ],
)
def test_forms(head: bytes, name: str, form: str) -> None:
    assert text_form(head, name) == form


def test_prose_is_no_log() -> None:
    with pytest.raises(UnreadableFile, match="in no form that is read"):
        text_form(b"Dear all, we met.\n", "x.md")


def test_byte_order_marks_are_taken_off() -> None:
    for encoding in ("utf-8-sig", "utf-16", "utf-32", "utf-16-le"):
        data = '{"n": "ä"}'.encode(encoding)
        head, stream = without_bom(data, io.BytesIO(data))
        assert head.startswith(b'{"n"') and stream.read() == '{"n": "ä"}'.encode()


def test_the_separator_is_told_by_the_header() -> None:
    assert [csv_delimiter(line) for line in (b"a,b", b"a;b,c;d", b"a\tb")] == [b",", b";", b"\t"]
