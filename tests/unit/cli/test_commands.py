"""The overview and the help: grouped, whole sentences, in 80 columns."""

from __future__ import annotations

import json

import click
import pytest

from deputize.cli.commands import COMMANDS, GROUPS, overview
from deputize.cli.main import cli, run


def test_the_overview_fits_a_terminal_of_80_by_24_and_names_every_command() -> None:
    lines = overview().splitlines()
    assert len(lines) <= 24 and max(map(len, lines)) <= 80
    shown = " ".join(lines).replace(",", " ").split()
    assert set(COMMANDS) <= set(shown)


def test_every_command_is_in_one_group_with_a_sentence_that_is_not_cut() -> None:
    verbs = [verb for group in GROUPS.values() for verb in group]
    assert len(verbs) == len(set(verbs))
    for group in GROUPS.values():
        for verb, (_, sentence) in group.items():
            assert len(sentence) <= 64 and sentence.endswith("."), verb


def test_deputize_alone_shows_the_overview(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    assert capsys.readouterr().out.rstrip("\n") == overview()
    assert run(["--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)["commands"]) == set(GROUPS)


def test_no_help_cuts_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    ctx = click.Context(cli)
    groups = [name for name in COMMANDS if isinstance(cli.get_command(ctx, name), click.Group)]
    for path in [[], *([name] for name in groups)]:
        assert run([*path, "--help"]) == 0
        shown = capsys.readouterr().out
        assert "..." not in shown.split("\n", 1)[1], path


@pytest.mark.parametrize(
    ("given", "meant"), [("convrt", "convert"), ("route lst", "list"), ("report --ope", "--open")]
)
def test_a_misspelt_word_gets_a_proposal(given: str, meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(given.split()) == 2
    assert meant in capsys.readouterr().err


def test_a_group_without_a_command_shows_its_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["route"]) == 2
    assert capsys.readouterr().err.startswith("Usage: deputize route")
