"""Files that left the home are named while they are there and hold erased calls."""

from __future__ import annotations

from pathlib import Path

from deputize.home import Home
from deputize.maintenance.lineage import ClearTextCopy, copies_with_erased, note_copy, specialists_of
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
