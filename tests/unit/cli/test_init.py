"""init writes a config.toml that the gateway can use, and never over another one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deputize.cli.main import run
from deputize.cli.settings_check import mistakes
from deputize.files import read_toml
from deputize.gateway.settings import read_settings


def test_options_become_settings_and_steps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    home = tmp_path / "home"
    words = ["--upstream", "https://api.anthropic.com", "--api-key-env", 'A"B', "--tenant", "acme"]
    assert run(["--home", str(home), "--json", "init", *words]) == 0
    told = json.loads(capsys.readouterr().out)
    path = home / "config.toml"
    assert told["path"] == str(path) and path.stat().st_mode & 0o077 == 0
    (one,) = read_settings(home).upstreams
    assert (one.base_url, one.protocol, one.api_key_env) == ("https://api.anthropic.com", "anthropic", 'A"B')
    assert mistakes(home, read_toml(path)) == []
    assert any("keys create --role ingest --tenant acme" in step for step in told["next"])


def test_the_settings_in_comments_hold_too(tmp_path: Path) -> None:
    assert run(["--home", str(tmp_path), "init", "--upstream", "http://127.0.0.1:1"]) == 0
    text = (tmp_path / "config.toml").read_text("utf-8")
    lines = [line.removeprefix("# ") for line in text.splitlines() if line.startswith(("# [", "# "))]
    settings = "\n".join(
        line for line in lines if line.startswith("[") or ("=" in line and "api_key_env" not in line)
    )
    (tmp_path / "config.toml").write_text(settings)
    table = read_toml(tmp_path / "config.toml")
    assert {"gateway", "convert", "retention"} <= set(table) and mistakes(tmp_path, table) == []


def test_a_file_that_is_there_stays(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.toml").write_text("# mine\n")
    assert run(["--home", str(tmp_path), "init", "--upstream", "http://127.0.0.1:1"]) == 3
    assert "was not changed" in capsys.readouterr().err
    assert (tmp_path / "config.toml").read_text() == "# mine\n"


def test_without_a_terminal_it_asks_for_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--home", str(tmp_path), "init"]) == 2
    assert "--upstream" in capsys.readouterr().err and not (tmp_path / "config.toml").exists()


def test_an_address_that_is_none_writes_nothing(tmp_path: Path) -> None:
    assert run(["--home", str(tmp_path), "init", "--upstream", "ftp://x"]) == 3
    assert not (tmp_path / "config.toml").exists()


def test_on_a_terminal_it_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(["http://127.0.0.1:1", "LLM_KEY", ""])
    monkeypatch.setattr("deputize.cli.init.click.prompt", lambda *_a, **_k: next(answers))
    monkeypatch.setattr("sys.stdin", type("Tty", (), {"isatty": lambda self: True})())
    assert run(["--home", str(tmp_path), "init"]) == 0
    assert read_settings(tmp_path).upstreams[0].api_key_env == "LLM_KEY"
