"""How much waits in the journals of a machine."""

from __future__ import annotations

import os
from pathlib import Path

from deputize.core.records import Call
from deputize.store.keys.keyring import KeyRing
from deputize.store.memory import MemoryStore
from deputize.store.recording.journal import recover
from deputize.store.recording.journal_backlog import JournalBacklog, backlog_of
from deputize.store.recording.recorder import Recorder


def test_the_files_of_all_folders_count_until_they_are_in_the_store(tmp_path: Path) -> None:
    folders = (tmp_path / "journal", tmp_path / "spill")
    assert backlog_of(folders) == JournalBacklog()
    ring = KeyRing.open(tmp_path, environ={})
    recorder = Recorder(MemoryStore(), ring, tmp_path)  # not started: nothing is moved
    recorder.record_now(Call(id="a", messages=[], response={}))
    recorder.close_now()
    (path,) = folders[0].iterdir()
    os.utime(path, (5.0, 7.0))
    assert backlog_of(folders) == JournalBacklog(n_files=1, n_bytes=path.stat().st_size, oldest_s=7.0)
    assert recover(folders, ring, MemoryStore()).n_calls == 1
    assert backlog_of(folders) == JournalBacklog()
