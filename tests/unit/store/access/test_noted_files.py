"""Files that steer a home are those that a command wrote last, where people share it."""

from __future__ import annotations

from pathlib import Path

import pytest

from deputize.core.errors import Tampered
from deputize.home import Home
from deputize.pipeline.edits_file import edits_path, read_edits, write_edits
from deputize.privacy.tagger.versions import check_tagger
from deputize.stages.cluster.task_edits import Edit, Edits


def test_an_edit_that_no_command_made_is_refused_in_a_shared_home(tmp_path: Path) -> None:
    home = Home(tmp_path, environ={})
    write_edits(home, Edits())
    older, log_then = edits_path(home).read_bytes(), (tmp_path / "audit.log").read_bytes()
    edits_path(home).write_bytes(older + b"\n")
    read_edits(home)  # of its one user
    home.api_keys.create("ingest")
    with pytest.raises(Tampered, match="not the one that a command wrote last"):
        read_edits(home)
    write_edits(home, Edits(edits=[Edit(action="hide", keys=[["t"]])]))
    assert len(read_edits(home).edits) == 1
    edits_path(home).write_bytes(older)
    with pytest.raises(Tampered, match="delete it to forget all edits"):
        read_edits(home)
    (tmp_path / "audit.log").write_bytes(log_then)
    with pytest.raises(Tampered, match="audit log is not whole"):
        read_edits(home)
    edits_path(home).unlink()
    assert read_edits(home) == Edits()


def test_a_tagger_that_no_command_made_is_refused_in_a_shared_home(tmp_path: Path) -> None:
    """A newer one would be used by itself: whoever may write to the home could have nothing found any more."""
    home, card = Home(tmp_path / "home", environ={}), tmp_path / "home" / "taggers" / "0001" / "tagger.json"
    check_tagger(home)
    card.parent.mkdir(parents=True)
    card.write_text("{}")
    check_tagger(home)
    home.api_keys.create("ingest")
    with pytest.raises(Tampered, match=r"outside of the home.*config\.toml"):
        check_tagger(home)
    home.noted_files.note(card, card.read_bytes())
    check_tagger(home)
    forged = card.parent.with_name("0002")
    forged.mkdir()
    (forged / "tagger.json").write_text("{}")
    with pytest.raises(Tampered, match="0002"):
        check_tagger(home)
    assert [e.subject for e in home.audit.entries() if e.action == "denied"] == [
        "taggers/0001/tagger.json",
        "taggers/0002/tagger.json",
    ]
