"""Files that steer a home are those that a command wrote last, where people share it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from deputize.core.errors import Tampered
from deputize.home import Home
from deputize.pipeline.edits_file import edits_path, read_edits, write_edits
from deputize.privacy.tagger.tagger_card import CARD, TaggerCard
from deputize.privacy.tagger.versions import check_tagger, chosen_path, next_path, trained
from deputize.stages.cluster.task_edits import Edit, Edits

CARD_OF_NONE = TaggerCard(
    types=[],
    threshold=0.5,
    n_train=0,
    n_negatives=0,
    n_validation=0,
    spans_by_type={},
    epochs=0.0,
    stopped_early=False,
    train_s=0.0,
    seed=0,
)


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


@pytest.mark.parametrize("killed", ["before the entry", "after the entry"])
def test_a_writer_that_is_killed_leaves_edits_that_can_be_read_and_changed(
    killed: str, tmp_path: Path
) -> None:
    with Home(tmp_path, environ={}) as home:
        home.api_keys.create("ingest")
        write_edits(home, Edits())
    program = f"""
import os
from pathlib import Path
from deputize.home import Home
from deputize.pipeline.edits_file import write_edits
from deputize.stages.cluster.task_edits import Edit, Edits
home = Home(Path({str(tmp_path)!r}))
note = home.noted_files.note
def noted(*arguments):
    if {killed!r} == "after the entry":
        note(*arguments)
    os.kill(os.getpid(), 9)
home.noted_files.note = noted
write_edits(home, Edits(edits=[Edit(action="hide", keys=[["t"]])]))
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    with Home(tmp_path, environ={}) as home:
        assert len(read_edits(home).edits) == (1 if killed == "after the entry" else 0)
        write_edits(home, Edits(edits=[*read_edits(home).edits, Edit(action="hide", keys=[["u"]])]))
        assert read_edits(home).edits[-1].keys == [["u"]]
        assert not [e for e in home.audit.entries() if e.action == "denied"]


def test_edits_are_read_while_others_make_them(tmp_path: Path) -> None:
    """No version is taken for one that no command made while it is under way."""
    home = Home(tmp_path, environ={})
    write_edits(home, Edits())
    home.api_keys.create("ingest")
    program = f"""
from pathlib import Path
from deputize.home import Home
from deputize.pipeline.edits_file import write_edits
from deputize.stages.cluster.task_edits import Edit, Edits
home = Home(Path({str(tmp_path)!r}), environ={{}})
for n in range(150):
    write_edits(home, Edits([Edit(action="rename", keys=[["t"]], name=str(n))]))
"""
    n = 0
    with subprocess.Popen([sys.executable, "-c", program]) as writer:
        while writer.poll() is None:
            read_edits(home)
            n += 1
    assert writer.returncode == 0 and n > 60
    assert read_edits(home).edits[0].name == "149"


def test_a_tagger_is_there_only_once_the_log_knows_it(tmp_path: Path) -> None:
    """Whoever converts meanwhile uses the one before, and so does a home whose training was killed."""
    home = Home(tmp_path, environ={})
    home.api_keys.create("ingest")
    path = next_path(tmp_path)

    def train(folder: Path) -> TaggerCard:
        folder.mkdir(parents=True)
        (folder / CARD).write_text("{}")
        check_tagger(home)
        assert chosen_path(tmp_path) is None
        return CARD_OF_NONE

    trained(home, path, train)
    check_tagger(home)
    assert chosen_path(tmp_path) == path
    assert not [e for e in home.audit.entries() if e.action == "denied"]


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
