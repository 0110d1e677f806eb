"""A key for each run: made once, replaced when its artifacts are rewritten, wrapped again by a rotation."""

from __future__ import annotations

from pathlib import Path

import pytest

from deputize.core.errors import Tampered
from deputize.store.keys.keyring import KeyRing, Sealer
from deputize.store.keys.run_keys import KEY_FILE, rewrap_run_keys, rewrite, run_key


def test_a_rewritten_run_has_a_fresh_key_and_the_old_one_is_gone(tmp_path: Path) -> None:
    ring, folder = KeyRing.open(tmp_path, environ={}), tmp_path / "runs" / "0001-a"
    folder.mkdir(parents=True)
    old = run_key(folder, ring)
    sealed = old.seal(b"text", b"")
    assert run_key(folder, ring).unseal(sealed, b"") == b"text"
    (folder / "x.sealed").write_bytes(sealed)

    def write(staging: Path, sealer: Sealer) -> None:
        (staging / "x.sealed").write_bytes(sealer.seal(b"new", b""))

    rewrite(folder, ring, write)
    fresh = run_key(folder, ring)
    assert fresh.unseal((folder / "x.sealed").read_bytes(), b"") == b"new"
    with pytest.raises(Tampered):
        fresh.unseal(sealed, b"")
    assert not any((tmp_path / "forgetting").iterdir())


def test_a_rotation_wraps_the_keys_of_runs_again(tmp_path: Path) -> None:
    ring, folder = KeyRing.open(tmp_path, environ={}), tmp_path / "runs" / "0001-a"
    folder.mkdir(parents=True)
    sealed = run_key(folder, ring).seal(b"text", b"")
    before = (folder / KEY_FILE).read_bytes()
    ring.begin_rotation()
    assert rewrap_run_keys(tmp_path, ring) == 1 and rewrap_run_keys(tmp_path, ring) == 0
    ring.end_rotation()
    assert (folder / KEY_FILE).read_bytes() != before
    assert run_key(folder, ring).unseal(sealed, b"") == b"text"
