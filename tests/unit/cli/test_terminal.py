"""Progress as lines, and one JSON document."""

from __future__ import annotations

import json

import pytest

from deputize.cli.terminal import Terminal, line_progress
from deputize.testing import ManualClock


def test_lines_say_the_first_the_last_and_one_every_ten_seconds() -> None:
    said: list[str] = []
    clock = ManualClock()
    report = line_progress(said.append, clock)
    for done in range(101):
        report("reading", done, 100)
        clock.advance(0.5)
    assert said[0] == "reading: 0 of 100"
    assert said[-1] == "reading: 100 of 100"
    assert 5 <= len(said) <= 8


def test_lines_do_not_repeat_an_end_but_say_a_second_round() -> None:
    said: list[str] = []
    report = line_progress(said.append, ManualClock())
    for done, total in ((0, 2), (2, 2), (2, 2), (0, 2), (2, 2)):
        report("epoch", done, total)
    assert said == ["epoch: 0 of 2", "epoch: 2 of 2", "epoch: 2 of 2"]


def test_work_without_a_known_end() -> None:
    said: list[str] = []
    report = line_progress(said.append, ManualClock())
    report("reading the store", 0)
    report("reading the store", 7)
    assert said == ["reading the store"]


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
    terminal.say(text)
    terminal.note(text)
    out, err = capsys.readouterr()
    for written in (out, err):
        assert not any(sign in written for sign in "\x1b\r\x07\x9b\u202e\x00\x7f")
