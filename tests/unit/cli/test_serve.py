"""`deputize serve` says where it listens, and why it does not."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from deputize.cli.main import run


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
    (tmp_path / "config.toml").write_text('[gateway]\nengine = "nobody"\n')
    command = ["--home", str(tmp_path), "serve", "--port", "0", "--upstream", "http://127.0.0.1:9/v1"]
    with pytest.raises(SystemExit, match="2"):
        run(command)
    err = capfd.readouterr().err
    assert "No engine is called 'nobody' ([gateway] engine). Known: local." in err and "listens" not in err


@pytest.mark.parametrize(
    ("wrong", "code"),
    [(["--port", "70000"], 2), (["--workers", "0"], 2), (["--upstream", "ftp://x", "--port", "0"], 3)],
)
def test_settings_that_cannot_be_are_refused(tmp_path: Path, wrong: list[str], code: int) -> None:
    assert run(["--home", str(tmp_path), "serve", *wrong]) == code
