"""deputize specialists serve, as far as it goes without serving; its answers are tested in tests/integration/gateway."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from deputize.cli.main import run
from deputize.home import Home


def test_a_port_in_use_ends_the_command_with_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert Home(tmp_path).keyring.id
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert run(["--home", str(tmp_path), "specialists", "serve", "--port", port]) == 2
    assert "--port" in capsys.readouterr().err
