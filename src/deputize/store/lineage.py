"""From a record to what was made of it: specialists that have seen calls which were erased since, files that hold them."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from deputize.core.artifacts import Finetuned, Specialist
from deputize.core.errors import DeputizeError
from deputize.core.records import Record, decode
from deputize.store.base import Store
from deputize.store.keys.keyring import KeyRing
from deputize.store.keys.run_keys import run_key
from deputize.store.sealed import read_sealed, write_sealed

_log = logging.getLogger("deputize.store")


class TrainedOnErased(Record, frozen=True):
    """A specialist and the erased calls among those it learnt from."""

    specialist: str
    task_id: str
    run_id: str
    path: str
    """Folder, relative to the home."""
    n_learnt: int
    erased: list[str]

    @property
    def sentence(self) -> str:
        """For the person who erased."""
        share = len(self.erased) / self.n_learnt if self.n_learnt else 0.0
        return (
            f"{self.specialist} (run {self.run_id}) learnt from {len(self.erased)} erased calls of {self.n_learnt} "
            f"({share:.1%})."
        )


class ClearTextCopy(Record, frozen=True):
    """Text that left the home, in clear: a data set, or raw calls."""

    path: str
    what: str
    """data set of run R, raw calls."""
    by: str
    at: float
    """Unix seconds."""
    call_ids: list[str]
    """Whose text it is; as `copies_with_erased` gives it, only those that were erased."""


def note_copy(home: Path, keyring: KeyRing, copy: ClearTextCopy) -> None:
    """Remembers what left, sealed in HOME/copies, so that an erasure can name it.

    Raises:
        StoreError: it cannot be written.
    """
    folder = home / "copies"
    write_sealed(folder / f"{copy.at:.0f}-{os.urandom(4).hex()}.sealed", copy, keyring)


def copies_with_erased(home: Path, keyring: KeyRing, store: Store) -> list[ClearTextCopy]:
    """What left the home and is still where it was put, with the erased calls in it; oldest first."""
    out: list[ClearTextCopy] = []
    for path in sorted((home / "copies").glob("*.sealed")):
        try:
            copy = read_sealed(path, ClearTextCopy, keyring)
        except DeputizeError as error:
            _log.warning("%s cannot be read, so what left with it is not known: %s", path, error)
            continue
        held = sorted(store.erased(copy.call_ids))
        if held and Path(copy.path).exists():
            out.append(msgspec.structs.replace(copy, call_ids=held))
    return out


def specialists_of(home: Path, keyring: KeyRing) -> Iterator[tuple[Path, Specialist]]:
    """Every trained specialist of a home with its folder; unreadable ones are named in the log and left out.

    What one learnt from stands in the sealed artifact of its run; cards held it in earlier versions.
    """
    for path in sorted((home / "runs").glob("*/finetune.sealed")):
        try:
            found = read_sealed(path, Finetuned, run_key(path.parent, keyring)).specialists
        except DeputizeError as error:
            _log.warning("%s cannot be read, so its lineage is not known: %s", path, error)
            continue
        yield from ((home / specialist.path, specialist) for specialist in found)
    for path in sorted((home / "runs").glob("*/specialists/*/specialist.json")):
        try:
            card = decode(path.read_bytes(), Specialist)
            if card.trained_on:
                yield path.parent, card
        except (OSError, msgspec.DecodeError) as error:
            _log.warning("%s cannot be read, so its lineage is not known: %s", path, error)


def taught_by(found: Iterable[tuple[Path, Specialist]], home: Path, store: Store) -> list[TrainedOnErased]:
    """The specialists that learnt from calls which are erased now, the most affected first."""
    out = []
    for folder, specialist in found:
        erased = store.erased(specialist.trained_on)
        if erased:
            out.append(
                TrainedOnErased(
                    specialist=specialist.id,
                    task_id=specialist.task_id,
                    run_id=folder.parent.parent.name,
                    path=str(folder.relative_to(home)),
                    n_learnt=len(specialist.trained_on),
                    erased=sorted(erased),
                )
            )
    return sorted(out, key=lambda t: (-len(t.erased), t.specialist))


def affected(home: Path, store: Store, keyring: KeyRing) -> list[TrainedOnErased]:
    """`taught_by` over all specialists of a home, each once."""
    return taught_by(dict(specialists_of(home, keyring)).items(), home, store)
