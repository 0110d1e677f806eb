"""From a call to what was made of it: specialists trained on calls that were erased since, files that hold such
calls."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from deputize.core.artifacts import Finetuned, Specialist
from deputize.core.errors import DeputizeError, UsageError
from deputize.core.percentages import percent
from deputize.core.records import Record
from deputize.home import Home
from deputize.pipeline.run import artifact_of
from deputize.store.sealed import read_sealed, write_sealed

_log = logging.getLogger("deputize.maintenance")


class TrainedOnErased(Record, frozen=True):
    """A specialist and the erased calls among those it was trained on."""

    specialist: str
    task_id: str
    run_id: str
    path: str
    """Folder, relative to the home."""
    n_trained_on: int
    """Calls that it was trained on, erased ones included."""
    erased: list[str]

    @property
    def sentence(self) -> str:
        """For the person who erased."""
        share = len(self.erased) / self.n_trained_on if self.n_trained_on else 0.0
        return (
            f"{self.specialist} (run {self.run_id}) was trained on {len(self.erased)} erased calls of "
            f"{self.n_trained_on} ({percent(share)})."
        )


class ClearTextCopy(Record, frozen=True):
    """A file that left the home, in clear: a dataset, raw calls, or a specialist that was trained on calls."""

    path: str
    what: str
    """dataset of run R, raw calls, specialist S as npz."""
    by: str
    at: float
    """Unix seconds."""
    call_ids: list[str]
    """Whose text it is; as `copies_with_erased` gives it, only those that were erased."""
    is_weights: bool = False
    """It holds nothing of the calls but what was learned from them."""
    is_begun: bool = False
    """Its writing has begun, and nothing says that it has ended, nor which calls are in it."""

    @property
    def sentence(self) -> str:
        """For the person who erased."""
        made = datetime.fromtimestamp(self.at, UTC).strftime("%Y-%m-%d")
        n = len(self.call_ids)
        if self.is_begun:
            return f"{self.path} ({self.what}, {made}, by {self.by}) was not written to its end and may hold some of them in clear: delete it."
        holds = f"was trained on {n} of them" if self.is_weights else f"holds {n} of them in clear"
        return f"{self.path} ({self.what}, {made}, by {self.by}) {holds}: delete it."


def note_copy(home: Home, copy: ClearTextCopy) -> None:
    """Remembers a file that left, sealed in HOME/copies, so that an erasure can name it.

    Raises:
        UsageError: of text: calls in it were erased while it was written; an erasure that was done by then could not
            name it.
        StoreError: it cannot be written.
    """
    _write_note(home, copy)
    if copy.is_weights:
        return  # what the specialist in the home was trained on is said of that
    # after the note: an erasure that is not seen here lists the copies later, and finds it
    if n_erased := len(home.store.erased(copy.call_ids)):
        raise UsageError(
            f"{copy.path} holds {n_erased} calls that were erased while it was written: delete it, and export again."
        )


@contextmanager
def noted_copy(
    home: Home, out: Path, what: str, by: str, *, temporary: Path | None = None
) -> Iterator[list[str]]:
    """A block that writes calls in clear to a file or folder; the list that it gets takes their ids.

    An erasure can name the file from before its first byte: one whose writing was killed may hold any call.

    Args:
        home: the home.
        out: the file or folder.
        what: as in ClearTextCopy.
        by: who writes it.
        temporary: its name until it is whole, where that is another one.

    Raises:
        UsageError, StoreError: as note_copy.
    """
    ids: list[str] = []
    copy = ClearTextCopy(path=str(out.resolve()), what=what, by=by, at=time.time(), call_ids=ids)
    begun = _write_note(
        home, msgspec.structs.replace(copy, path=str((temporary or out).resolve()), is_begun=True)
    )
    try:
        yield ids
        note_copy(home, copy)
    finally:
        begun.unlink(missing_ok=True)


def _write_note(home: Home, copy: ClearTextCopy) -> Path:
    path = _copies(home) / f"{copy.at:.0f}-{os.urandom(4).hex()}.sealed"
    write_sealed(path, copy, home.keyring)
    return path


def copies_with_erased(home: Home) -> list[ClearTextCopy]:
    """Files that left the home and are still where they were put, with the erased calls in them, and those of which
    nobody knows what is in them; oldest first."""
    out: list[ClearTextCopy] = []
    for path in sorted(_copies(home).glob("*.sealed")):
        try:
            copy = read_sealed(path, ClearTextCopy, home.keyring)
        except DeputizeError as error:
            _log.warning("%s cannot be read, so what left with it is not known: %s", path, error)
            continue
        held = sorted(home.store.erased(copy.call_ids))
        if (held or copy.is_begun) and Path(copy.path).exists():
            out.append(msgspec.structs.replace(copy, call_ids=held))
    return out


def _copies(home: Home) -> Path:
    return home.path / "copies"


def specialists_of(home: Home) -> Iterator[Specialist]:
    """Every trained specialist of a home; runs that cannot be read are named in the log and left out."""
    for path in sorted(home.runs_path.glob("*/finetune.sealed")):
        try:
            found = artifact_of(home, path.parent.name, "finetune", Finetuned).read()
        except DeputizeError as error:
            _log.warning("%s cannot be read, so its lineage is not known: %s", path, error)
            continue
        yield from found.specialists


def trained_on_erased(home: Home) -> list[TrainedOnErased]:
    """The specialists of a home that were trained on calls which are erased now, the most affected first."""
    out = []
    for specialist in {s.path: s for s in specialists_of(home)}.values():
        erased = home.store.erased(specialist.trained_on)
        if erased:
            out.append(
                TrainedOnErased(
                    specialist=specialist.id,
                    task_id=specialist.task_id,
                    run_id=(home.path / specialist.path).parent.parent.name,
                    path=specialist.path,
                    n_trained_on=len(specialist.trained_on),
                    erased=sorted(erased),
                )
            )
    return sorted(out, key=lambda one: (-len(one.erased), one.specialist))
