"""The gateway as a program."""

from __future__ import annotations

from pathlib import Path

import pytest

from deputize.gateway.__main__ import main


def test_errors_are_sentences_and_exit_codes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path), "127.0.0.1", "0", "1", "", ""]) == 2
    assert capsys.readouterr().err.startswith("deputize: There is no upstream")
