"""init writes a config.toml that the gateway can use, and never over another one."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
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


def test_on_a_real_terminal_it_asks(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "deputize.cli.main", "--home", str(tmp_path), "init"]
    with closing_fd(ours), subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs) as child:
        os.close(theirs)
        said = answered(ours, "Address of the LLM", "ftp://x")
        said += answered(ours, "", "")  # a wrong address is refused before the next question
        assert child.wait(30) == 3 and "Variable" not in said and not (tmp_path / "config.toml").exists()
    ours, theirs = pty.openpty()
    with closing_fd(ours), subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs) as child:
        os.close(theirs)
        said = answered(ours, "Address of the LLM", "http://127.0.0.1:1")
        said += answered(ours, "Variable with its key", "LLM_KEY")
        said += answered(ours, "Tenant", "")
        said += answered(ours, "", "")
        assert child.wait(30) == 0
    assert "1. export LLM_KEY=..." in said and "2. deputize serve" in said
    (one,) = read_settings(tmp_path).upstreams
    assert (one.base_url, one.api_key_env) == ("http://127.0.0.1:1", "LLM_KEY")


@contextmanager
def closing_fd(fd: int) -> Iterator[None]:
    try:
        yield
    finally:
        os.close(fd)


def answered(terminal: int, question: str, answer: str) -> str:
    """What the command says up to a question, which is answered; without a question, up to its end."""
    said = ""
    while not question or question not in said:
        try:
            piece = os.read(terminal, 4096).decode()
        except OSError:  # Linux says so when the other side is closed
            piece = ""
        if not piece:
            assert not question, said
            return said
        said += piece
    os.write(terminal, f"{answer}\n".encode())
    return said
