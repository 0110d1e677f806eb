"""The keys of a home after another home with the same keys has changed them: what only this home holds is wrapped again
with the new ones.

Runs and conversations are a home's own. Their keys are wrapped by the wrapping key that the rotation elsewhere has
destroyed, so whoever merely copies the new folder over the old one can read them no more.
"""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from pathlib import Path

from deputize.core.errors import BadInput, StoreError, UsageError
from deputize.files import locked_at_once, write_atomic
from deputize.home import Home
from deputize.maintenance.rotation import Rotated, wrap_again
from deputize.store.access.roles import Actor, Right, require
from deputize.store.keys.keyring import RING_FILE, KeyRing
from deputize.store.keys.local_kek import FileKek, destroy_key_file


def adopt_keys(home: Home, actor: Actor, folder: Path) -> Rotated:
    """Takes the keys in a folder in the place of this home's own, which must be an older state of the same ring.

    Stopped half-way, nothing is lost as long as both folders are there: the same call ends it.

    Args:
        home: the home, with its keys as they were before the rotation elsewhere.
        actor: who does it.
        folder: the `keys` folder of the home where keys were changed, or a copy of it.

    Raises:
        AccessDenied: the actor may not.
        BadInput: the folder holds other keys, or an earlier state of these.
        UsageError: it is the home's own folder.
        StoreError: the keys cannot be opened, or another rotation is under way; nothing has changed.
    """
    require(actor, Right.ROTATE_KEYS)
    old = home.require_keys()
    if folder.resolve() == home.keys_path.resolve():
        raise UsageError(f"{folder} is this home's own folder of keys: name a copy of the other home's.")
    new = KeyRing.open_in(folder)
    if new.id != old.id or new.derive("same ring") != old.derive("same ring"):
        raise BadInput(
            f"The keys in {folder} are another ring ({new.id}) than those of {home.path} ({old.id})."
        )
    if new.changed_s < old.changed_s:
        # what an erasure has made unreadable could be read again with them
        raise BadInput(
            f"The keys in {folder} are older than those of {home.path}: they were changed at {_time(new.changed_s)}, these at "
            f"{_time(old.changed_s)}. Nothing was changed; bring a copy of the newest."
        )
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked_at_once(home.keys_path / "rotation"))
        except BlockingIOError:
            raise StoreError("A rotation of these keys is under way.") from None
        home.audit.append(
            "keys.adopt", actor=actor.name, subject=new.id, detail={"from": old.provider.key_id}
        )
        new.knows_also(old)
        fresh = stack.enter_context(Home(home.path, keyring=new))
        n_keys = wrap_again(fresh)
        _install(home, new)
    warnings = _end(old, new)
    return Rotated(
        generation=new.wrapping_id, kek_id=new.provider.key_id, n_data_keys=n_keys, warnings=warnings
    )


def is_of_a_home(folder: Path) -> bool:
    """True where a folder of keys is that of a home, and no copy of it: it must not be deleted."""
    return folder.resolve().name == "keys" and (folder.resolve().parent / "audit.log").exists()


def _time(unix_s: float) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _install(home: Home, new: KeyRing) -> None:
    """Key file first: the ring that names it comes last."""
    if isinstance(new.provider, FileKek) and not Path(new.provider.spec()["path"]).is_absolute():
        write_atomic(home.keys_path / new.provider.spec()["path"], new.provider.path.read_bytes())
    write_atomic(home.keys_path / RING_FILE, new.path.read_bytes())
    if home.keyring.has_api_keys and not new.has_api_keys:
        KeyRing.open_existing(home.path).mark_api_keys()


def _end(old: KeyRing, new: KeyRing) -> tuple[str, ...]:
    """Destroys the old key file, where the new keys have another one."""
    if not isinstance(old.provider, FileKek) or old.provider.spec() == new.provider.spec():
        return ()
    return destroy_key_file(old.provider.path)
