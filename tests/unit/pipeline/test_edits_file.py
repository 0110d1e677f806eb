"""The file of edits of tasks: none where there is no file, and damage is said."""

from __future__ import annotations

from pathlib import Path

import pytest

from deputize.core.errors import BadInput
from deputize.home import Home
from deputize.pipeline.edits_file import edits_path, read_edits


def test_edits_are_read_or_said_to_be_damaged(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert read_edits(home).edits == [] and not edits_path(home).exists()
    edits_path(home).write_text('{"edits": []}')
    assert read_edits(home).edits == []
    edits_path(home).write_text("{")
    with pytest.raises(BadInput, match=r"tasks\.json cannot be read"):
        read_edits(home)
