"""Rows as they come, or one document; what could not be read is said."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deputize.cli.jsonl import RowWriter
from deputize.cli.terminal import Terminal
from deputize.core.artifacts import Skip
from deputize.core.errors import BadInput

SOURCE = Path("log.jsonl")


def test_rows_are_lines_as_they_come(capsys: pytest.CaptureFixture[str]) -> None:
    rows = RowWriter(Terminal(), SOURCE)
    rows.row({"a": 1})
    assert capsys.readouterr().out == '{"a":1}\n'
    for line in range(7):
        rows.skip(Skip(file="log.jsonl", line=line, reason="no call"))
    rows.end()
    out, err = capsys.readouterr()
    assert out == "" and err.count("skipped log.jsonl:") == 5 and "2 more lines" in err


def test_with_json_it_is_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal()
    terminal.json = True
    rows = RowWriter(terminal, SOURCE)
    rows.row({"a": 1})
    rows.skip(Skip(file="log.jsonl", line=4, reason="no call"))
    assert capsys.readouterr().out == ""
    rows.end()
    assert json.loads(capsys.readouterr().out) == {
        "rows": [{"a": 1}],
        "skipped": [{"file": "log.jsonl", "line": 4, "reason": "no call"}],
    }


def test_nothing_readable_is_bad_input_with_the_first_reason() -> None:
    with pytest.raises(BadInput, match=r"nothing to read in log.jsonl\.$"):
        RowWriter(Terminal(), SOURCE).end()
    rows = RowWriter(Terminal(), SOURCE)
    rows.skip(Skip(file="log.jsonl", line=3, reason="not JSON"))
    with pytest.raises(BadInput, match="line 3: not JSON"):
        rows.end()
