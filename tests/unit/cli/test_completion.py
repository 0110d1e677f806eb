"""Completion scripts, and the answers that they ask for."""

from __future__ import annotations

import json

import pytest

from deputize.cli.commands import COMMANDS
from deputize.cli.completion import SHELLS, VARIABLE, answer_shell
from deputize.cli.main import cli, run


@pytest.mark.parametrize("shell", SHELLS)
def test_a_shell_gets_a_script_that_asks_deputize(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--json", "completion", shell]) == 0
    script = json.loads(capsys.readouterr().out)["script"]
    assert f"{VARIABLE}={shell}_complete" in script and "deputize" in script


def _answers(words: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> list[str]:
    monkeypatch.setenv(VARIABLE, "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - (not words.endswith(" "))))
    assert answer_shell(cli) == 0
    return [line.split(",", 1)[1] for line in capsys.readouterr().out.split()]


def test_commands_options_and_choices_are_completed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _answers("deputize ", monkeypatch, capsys) == list(COMMANDS)
    assert _answers("deputize route pro", monkeypatch, capsys) == ["promote"]
    assert _answers("deputize convert --eps", monkeypatch, capsys) == ["--epsilon"]
    assert _answers("deputize completion z", monkeypatch, capsys) == ["zsh"]


def test_nobody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert answer_shell(cli) is None
