"""Changing keys: a new KEK or wrapping key, with every data key wrapped again and no payload rewritten."""

from __future__ import annotations

import contextlib
import os

import msgspec

from deputize.core.errors import StoreError
from deputize.files import locked_at_once
from deputize.home import Home
from deputize.pipeline.run_sharing import share_runs_again
from deputize.store.keys.base import KeyProvider
from deputize.store.keys.local_kek import FileKek, destroy_key_file
from deputize.store.keys.run_keys import rewrap_run_keys


class Rotated(msgspec.Struct, frozen=True):
    """Result of a rotation."""

    generation: str
    kek_id: str
    n_data_keys: int
    warnings: tuple[str, ...] = ()


def rotate(home: Home, *, provider: KeyProvider | None = None, actor: str = "") -> Rotated:
    """Replaces KEK and wrapping key, wraps all data keys again, destroys the old keys. Others may write meanwhile.

    Stopped half-way nothing is lost: both generations stay until all is wrapped, and the next rotation finishes it.

    Args:
        home: the home.
        provider: who holds the KEK from now on. Default: a fresh key file where the KEK is in a file now, else the
            provider there is (a key service rotates its own key; the wrapping key is replaced all the same).
        actor: who asked for it, for the audit log.

    Raises:
        StoreError: the key service, the disk or the store refuses, or another rotation is under way.
    """
    with contextlib.ExitStack() as lock:
        try:
            lock.enter_context(locked_at_once(home.keys_path / "rotation"))
        except BlockingIOError:
            raise StoreError("Another rotation of these keys is under way.") from None
        home.keyring.reload()
        return _rotate(home, provider, actor)


def fresh_file() -> str:
    """A name for a new key file next to the old one."""
    return f"kek-{os.urandom(4).hex()}.key"


def _rotate(home: Home, provider: KeyProvider | None, actor: str) -> Rotated:
    keyring, old = home.keyring, home.keyring.provider
    if provider is None and isinstance(old, FileKek):
        provider = FileKek.create(home.keys_path / fresh_file(), relative_to=home.keys_path)
    home.audit.append("keys.rotate", actor=actor, subject=keyring.id, detail={"from": old.key_id})
    generation = keyring.begin_rotation(provider)
    n_data_keys = wrap_again(home)
    keyring.end_rotation()
    warnings: tuple[str, ...] = ()
    if provider is not None and isinstance(old, FileKek) and old.spec() != provider.spec():
        warnings = destroy_key_file(old.path)
    if said := share_runs_again(home):
        # what lies there of runs is under the old wrapping key, which is no more
        warnings += (said,)
    return Rotated(
        generation=generation, kek_id=keyring.provider.key_id, n_data_keys=n_data_keys, warnings=warnings
    )


def wrap_again(home: Home) -> int:
    """Wraps every key of a home with the active wrapping key: of its store, runs and conversations; returns how
    many."""
    return home.store.rewrap() + rewrap_run_keys(home.path, home.keyring) + _rewrap_conversations(home)


def _rewrap_conversations(home: Home) -> int:
    conversations = home.existing_conversations()
    if conversations is None:
        return 0
    with contextlib.closing(conversations):
        return conversations.rewrap()
