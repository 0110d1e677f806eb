"""`deputize serve` says where it listens, and why it does not."""

from __future__ import annotations

from pathlib import Path

import pytest

from deputize.cli.main import run


def test_without_an_upstream_it_says_how_to_name_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["--home", str(tmp_path), "serve", "--port", "0"]) == 2
    err = capsys.readouterr().err
    assert "http://127.0.0.1:0/v1" in err and "--upstream" in err


@pytest.mark.parametrize(
    ("wrong", "code"),
    [(["--port", "70000"], 2), (["--workers", "0"], 2), (["--upstream", "ftp://x", "--port", "0"], 3)],
)
def test_settings_that_cannot_be_are_refused(tmp_path: Path, wrong: list[str], code: int) -> None:
    assert run(["--home", str(tmp_path), "serve", *wrong]) == code
