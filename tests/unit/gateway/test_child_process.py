"""The gateway in a child process."""

from __future__ import annotations

from pathlib import Path

import pytest

from deputize.core.errors import UsageError
from deputize.gateway.child_process import start_gateway_process


def test_one_that_does_not_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"did not start: .*There is no upstream"):
        start_gateway_process(tmp_path)
