"""dashboard: what can go wrong before it listens; tests/unit/dashboard/test_local_server.py starts it."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from deputize.cli.main import run


def test_a_port_that_is_in_use_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        assert run(["--home", str(tmp_path), "dashboard", "--port", port]) == 2
    assert "--port" in capsys.readouterr().err


def test_a_key_that_is_none_opens_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DEPUTIZE_KEY", "dpk_nothing")
    assert run(["--home", str(tmp_path), "dashboard", "--port", "0"]) == 5
