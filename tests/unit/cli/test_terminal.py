"""One JSON document, tables, and text that does nothing to a terminal."""

from __future__ import annotations

import json

import pytest
from rich.text import Text

from deputize.cli.terminal import Terminal


def test_json_result_is_the_only_thing_on_stdout(capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal()
    terminal.json = True
    terminal.note("a note")
    terminal.result({"a": [1, None]}, lambda: terminal.say("for a reader"))
    out, err = capsys.readouterr()
    assert json.loads(out) == {"a": [1, None]}
    assert err == "a note\n"


def test_tables_keep_long_cells_in_a_pipe(capsys: pytest.CaptureFixture[str]) -> None:
    Terminal().table(("a", "b"), [("x" * 60, None), ("y", 3)])
    out = capsys.readouterr().out
    assert "x" * 60 in out and "–" in out


@pytest.mark.parametrize(
    "cell", ["[/x]", "[/INST] a [bold]b", "[black on black]hidden[/]", "[link=http://e.example]c[/link]"]
)
def test_what_looks_like_markup_is_shown_as_it_is(cell: str, capsys: pytest.CaptureFixture[str]) -> None:
    Terminal().table(("a", "b"), [(cell, 1)], title=cell)
    assert capsys.readouterr().out.count(cell) == 2


@pytest.mark.parametrize("text", ["\x1b[2J\x1b]0;title\x07", "a\rb", "\x9b31m", "a\u202eb", "\x00\x7f"])
def test_nothing_that_steers_a_terminal_is_written(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal()
    terminal.table(("a",), [(text,)])
    terminal.show(Text(text))
    terminal.say(text)
    terminal.note(text)
    out, err = capsys.readouterr()
    for written in (out, err):
        assert not any(sign in written for sign in "\x1b\r\x07\x9b\u202e\x00\x7f")


def test_json_steers_no_terminal_either(capsys: pytest.CaptureFixture[str]) -> None:
    terminal, text = Terminal(), "a\x1b]0;t\x07\x9b31m\u202eb\x7f \u00e9"
    terminal.json = True
    terminal.result({"name": text}, lambda: None)
    out = capsys.readouterr().out
    assert json.loads(out) == {"name": text} and "\u00e9" in out
    assert not any(sign in out for sign in "\x1b\x07\x9b\u202e\x7f")
