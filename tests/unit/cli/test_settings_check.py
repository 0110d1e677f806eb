"""Mistakes of a config.toml in sentences."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from deputize.cli.settings_check import mistakes


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[convert]\nepsilo = 1", "[convert]: there is no setting 'epsilo'. Did you mean epsilon"),
        ("[gatewy]", "[gatewy] is no table of settings. Did you mean gateway?"),
        (
            "[gateway.otel]\nenbled = true",
            "[gateway.otel]: there is no setting 'enbled'. Did you mean enabled?",
        ),
        (
            "[[gateway.upstreams]]\nbase_url = 'http://x'\nprotocl = 'openai'",
            "[gateway.upstreams]: there is no setting 'protocl'. Did you mean protocol?",
        ),
        ("[convert]\nminutes = -1", "[convert] minutes: must be greater than 0 (given: -1)."),
        ("[audience]\ndesk = 'nobody'", "[convert.audience] desk: must be 'code' or 'human'"),
    ],
)
def test_each_mistake_has_its_place_and_a_proposal(text: str, said: str, tmp_path: Path) -> None:
    (found,) = mistakes(tmp_path, tomllib.loads(text))
    assert found.startswith(said)


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    text = "[convert]\nepsilo = 1\nseed = -1\n[retention]\nacme = 'long'\n[nothing]\n"
    (tmp_path / "config.toml").write_text(text)
    assert len(mistakes(tmp_path, tomllib.loads(text))) == 4


def test_settings_that_hold_are_no_mistakes(tmp_path: Path) -> None:
    text = '[audience]\n"desk/triage" = "code"\n[processing]\ncontroller = "us"\n[retention]\n"*" = 90\n'
    assert mistakes(tmp_path, tomllib.loads(text)) == []
