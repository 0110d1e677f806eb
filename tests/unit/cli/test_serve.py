"""`deputize serve` says where it listens, and why it does not."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from tests.unit.cli.test_routes import route

from deputize.cli.main import run
from deputize.cli.serve import log_settings, route_lines
from deputize.core.records import RouteFile
from deputize.home import Home
from deputize.routes_file import write_routes


def test_without_an_upstream_it_says_how_to_name_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["--home", str(tmp_path), "serve", "--port", "0"]) == 2
    err = capsys.readouterr().err
    assert "--upstream" in err and "listens" not in err


def test_it_says_that_it_listens_only_once_it_does(tmp_path: Path) -> None:
    command = ["--home", str(tmp_path), "serve", "--port", "0", "--upstream", "http://127.0.0.1:9/v1"]
    serving = subprocess.Popen(
        [sys.executable, "-m", "deputize.cli.main", *command], stderr=subprocess.PIPE, text=True
    )
    try:
        assert serving.stderr is not None
        said = serving.stderr.readline()
        found = re.search(r"listens on (http://127\.0\.0\.1:[1-9]\d*)/v1 for the home", said)
        assert found, said
        with urllib.request.urlopen(f"{found[1]}/healthz", timeout=5) as reply:
            assert reply.status == 200
        serving.send_signal(signal.SIGTERM)
        assert serving.wait(30) == 0 and "listens" not in serving.stderr.read()
    finally:
        serving.kill()
        serving.communicate()


def test_a_worker_that_cannot_start_says_why_and_nothing_listens(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "config.toml").write_text('[engine]\nkind = "nobody"\n')
    command = ["--home", str(tmp_path), "serve", "--port", "0", "--upstream", "http://127.0.0.1:9/v1"]
    with pytest.raises(SystemExit, match="2"):
        run(command)
    err = capfd.readouterr().err
    assert "No engine is called 'nobody' ([engine] kind). Known: local" in err and "listens" not in err


@pytest.mark.parametrize(
    ("wrong", "code"),
    [(["--port", "70000"], 2), (["--workers", "0"], 2), (["--upstream", "ftp://x", "--port", "0"], 3)],
)
def test_settings_that_cannot_be_are_refused(tmp_path: Path, wrong: list[str], code: int) -> None:
    assert run(["--home", str(tmp_path), "serve", *wrong]) == code


def test_the_routes_are_listed_in_80_columns(tmp_path: Path) -> None:
    assert "No routes yet" in route_lines(Home(tmp_path))[0]
    file = RouteFile(run_id="0001", routes=[route(f"r{i}") for i in range(14)])
    write_routes(tmp_path / "routes.json", file, Home(tmp_path).routes_seal)
    lines = route_lines(Home(tmp_path))
    assert lines[0] == "14 routes:" and "t-r0" in lines[1] and "live" in lines[1] and "task r0" in lines[1]
    assert lines[-1] == "  and 2 more: `deputize route list`" and max(map(len, lines)) <= 80


@pytest.mark.parametrize(
    ("asked", "quiet", "is_terminal", "given"),
    [
        (None, False, False, {}),
        (None, False, True, {"log_format": "short", "access_log": True}),
        (None, True, True, {"log_format": "short", "access_log": False}),
        ("json", False, False, {"log_format": "json", "access_log": True}),
        (None, True, False, {"access_log": False}),
    ],
)
def test_a_line_for_each_call_only_where_somebody_reads(
    asked: str | None, quiet: bool, is_terminal: bool, given: dict[str, object]
) -> None:
    assert log_settings(asked, quiet=quiet, is_terminal=is_terminal) == given
