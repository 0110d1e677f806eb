"""Files that left the home are named while they are there and hold erased calls."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from deputize.core.errors import BadInput
from deputize.home import Home
from deputize.maintenance.lineage import (
    ClearTextCopy,
    copies_with_erased,
    note_copy,
    noted_copy,
    specialists_of,
)
from deputize.testing import call


def test_copies_with_erased_calls_are_named_until_they_are_gone(tmp_path: Path) -> None:
    with Home(tmp_path / "home") as home:
        home.store.append([call("a", origin="o_ann"), call("b", origin="o_bob")])
        out = tmp_path / "out"
        note_copy(home, ClearTextCopy(path=str(out), what="raw calls", by="k", at=1.7e9, call_ids=["a", "b"]))
        out.write_text("text")
        assert copies_with_erased(home) == [] == list(specialists_of(home))
        home.store.erase("o_ann")
        (copy,) = copies_with_erased(home)
        assert copy.call_ids == ["a"]
        assert copy.sentence == f"{out} (raw calls, 2023-11-14, by k) holds 1 of them in clear: delete it."
        (home.path / "copies" / "1-broken.sealed").write_bytes(b"{")
        assert copies_with_erased(home) == [copy], "one that cannot be read does not hide the others"
        out.unlink()
        assert copies_with_erased(home) == []


def test_an_export_of_a_specialist_is_named_like_a_file_with_text(tmp_path: Path) -> None:
    with Home(tmp_path / "home") as home:
        home.store.append([call("a", origin="o_ann"), call("b", origin="o_bob")])
        home.store.erase("o_ann")
        what = "specialist of route r as npz"
        left = ClearTextCopy(
            path=str(tmp_path), what=what, by="k", at=1.7e9, call_ids=["a", "b"], is_weights=True
        )
        note_copy(home, left)
        (copy,) = copies_with_erased(home)
        assert copy.sentence == f"{tmp_path} ({what}, 2023-11-14, by k) was trained on 1 of them: delete it."


def test_a_copy_whose_writing_was_killed_is_named_too(tmp_path: Path) -> None:
    """Nothing is left that could say which calls are in it."""
    program = f"""
import os
from pathlib import Path
from deputize.home import Home
from deputize.maintenance.lineage import noted_copy
with noted_copy(
    Home(Path({str(tmp_path / "home")!r})),
    Path({str(tmp_path / "out")!r}),
    "dataset of run 1",
    "k",
    temporary=Path({str(tmp_path / ".out-1")!r}),
):
    Path({str(tmp_path / ".out-1")!r}).write_text("text of somebody")
    os.kill(os.getpid(), 9)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    with Home(tmp_path / "home") as home:
        (copy,) = copies_with_erased(home)
        assert copy.path == str(tmp_path / ".out-1")
        assert "not written to its end and may hold some of them in clear: delete it" in copy.sentence
        (tmp_path / ".out-1").unlink()
        assert copies_with_erased(home) == []


def test_a_copy_that_is_whole_or_was_given_up_is_noted_once_or_not_at_all(tmp_path: Path) -> None:
    with Home(tmp_path / "home") as home:
        home.store.append([call("a", origin="o_ann"), call("b", origin="o_bob")])
        with noted_copy(home, tmp_path / "out", "raw calls", "k") as ids:
            assert len(list((home.path / "copies").iterdir())) == 1, "before a byte is written"
            (tmp_path / "out").write_text("text")
            ids += ["a", "b"]
        with pytest.raises(BadInput), noted_copy(home, tmp_path / "other", "raw calls", "k"):
            raise BadInput("it cannot be made")
        home.store.erase("o_ann")
        (copy,) = copies_with_erased(home)
        assert (copy.path, copy.call_ids, copy.is_begun) == (str(tmp_path / "out"), ["a"], False)
        assert len(list((home.path / "copies").iterdir())) == 1
