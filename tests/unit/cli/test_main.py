"""Exit codes and sentences: whatever goes wrong, no traceback."""

from __future__ import annotations

import errno
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from deputize.cli.commands import COMMANDS
from deputize.cli.main import STOPPED, cli, run
from deputize.cli.rights import RIGHTS
from deputize.core.errors import (
    AccessDenied,
    BadInput,
    DeputizeError,
    MissingExtra,
    StoreError,
    UpstreamError,
    UsageError,
)

Verb = Callable[[BaseException], str]


@pytest.fixture
def verb() -> Iterator[Verb]:
    """Adds a verb that raises what it is given, for the time of a test."""
    added: list[str] = []

    def add(error: BaseException) -> str:
        @click.command("fails")
        def fails() -> None:
            raise error

        name = f"fails-{len(added)}"
        module = f"deputize_test_verb_{len(added)}"
        sys.modules[module] = type(sys)(module)
        sys.modules[module].fails = fails  # type: ignore[attr-defined]
        COMMANDS[name] = f"{module}:fails"
        RIGHTS[name] = None
        added.append(name)
        return name

    yield add
    for name in added:
        sys.modules.pop(COMMANDS.pop(name).split(":")[0])
        RIGHTS.pop(name)


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (BadInput("the file is odd"), 3, "the file is odd"),
        (UsageError("put together wrongly"), 2, "put together wrongly"),
        (MissingExtra.package("torch", "train"), 4, "pip install 'deputize[train]'"),
        (AccessDenied("not for you"), 5, "not for you"),
        (UpstreamError("no answer"), 1, "no answer"),
        (StoreError("locked"), 1, "locked"),
        (OSError(errno.ENOSPC, "No space left on device", "store.db"), 1, "The disk is full (store.db)"),
        (OSError(errno.EADDRINUSE, "Address already in use"), 1, "port is in use"),
        (PermissionError(errno.EACCES, "Permission denied", "x.jsonl"), 1, "Permission denied (x.jsonl)"),
        (ModuleNotFoundError("No module named 'spacy'", name="spacy"), 4, "spacy is not installed"),
        (MemoryError(), 1, "not enough memory"),
        (KeyboardInterrupt(), 130, STOPPED),
        (click.Abort(), 130, STOPPED),
        (BrokenPipeError(), 0, ""),
    ],
)
def test_each_failure_has_a_sentence_and_a_code(
    verb: Verb, capfd: pytest.CaptureFixture[str], error: BaseException, code: int, said: str
) -> None:
    assert run([verb(error)]) == code
    out, err = capfd.readouterr()
    assert said in err
    assert "Traceback" not in out + err


def test_every_error_class_keeps_its_exit_code(verb: Verb) -> None:
    def below(kind: type[DeputizeError]) -> list[type[DeputizeError]]:
        return [kind, *(k for sub in kind.__subclasses__() for k in below(sub))]

    for kind in below(DeputizeError):
        assert run([verb(kind("words"))]) == kind.exit_code


def test_what_nobody_thought_of_goes_to_a_file(verb: Verb, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([verb(ZeroDivisionError("secret 4242"))]) == 1
    err = capsys.readouterr().err
    assert "ZeroDivisionError" in err and "secret" not in err and "Traceback" not in err
    path = Path(err.split("The details are in ")[1].split(";")[0])
    assert "secret 4242" in path.read_text()
    assert path.stat().st_mode & 0o077 == 0
    path.unlink()


def test_json_failures_are_json_too(verb: Verb, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--json", verb(BadInput("odd"))]) == 3
    assert json.loads(capsys.readouterr().out) == {"error": {"code": "bad_input", "message": "odd"}}


@pytest.mark.parametrize(
    "arguments", [["frobnicate"], ["report", "--nope"], ["route"], ["convert", "--seed", "x"], ["import"]]
)
def test_usage_errors_exit_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(arguments) == 2
    assert capsys.readouterr().err


def test_every_verb_explains_itself_and_takes_the_common_options(capsys: pytest.CaptureFixture[str]) -> None:
    def walk(command: click.Command, path: list[str]) -> None:
        assert run([*path, "--help"]) == 0
        shown = capsys.readouterr().out
        assert "--home" in shown and "--json" in shown, path
        assert command.help or command.short_help, path
        for name, inner in getattr(command, "commands", {}).items():
            walk(inner, [*path, name])

    ctx = click.Context(cli)
    for name in COMMANDS:
        command = cli.get_command(ctx, name)
        assert command is not None
        walk(command, [name])


def test_help_and_version_need_no_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(["--help"]) == 0
    assert run(["--version"]) == 0
    assert "deputize" in capsys.readouterr().out
    assert list(tmp_path.iterdir()) == []


def test_looking_costs_no_heavy_import() -> None:
    code = (
        "import sys; from deputize.cli.main import run; run(['--help']); "
        "sys.exit(any(m in sys.modules for m in ('torch', 'transformers', 'spacy', 'sklearn', 'openai')))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=False).returncode == 0


def test_a_reader_who_leaves_is_no_error() -> None:
    command = [sys.executable, "-m", "deputize.cli.main", "models", "list"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        assert process.wait(timeout=60) == 0
        assert process.stderr.read() == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_stdout_is_told() -> None:
    command = [sys.executable, "-m", "deputize.cli.main", "models", "list"]
    with open("/dev/full", "wb") as full:  # noqa: PTH123 - a device
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, check=False, timeout=60)
    assert done.returncode == 1
    assert b"disk is full" in done.stderr and b"Traceback" not in done.stderr


def test_home_can_stand_before_and_after_the_verb(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["--home", str(tmp_path), "report"], ["report", "--home", str(tmp_path)]):
        assert run(arguments) == 3
        assert str(tmp_path) in capsys.readouterr().err
