"""The audit log: who did what to whose data, in a chain that cannot be changed without it showing.

    HOME/audit.log    one JSON line per entry, each with the hash of the one before and a signature
    HOME/audit.head   how many there are and the last hash, signed: shows when the end of the log was cut off

Entries hold names of people, actions and pseudonyms, never text of a call. What no log on one disk can show is its
own replacement by an older copy together with an older head; for that, keep heads elsewhere (`AuditLog.head`) and
give one to `verify`.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import BinaryIO

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from deputize.core.errors import StoreError
from deputize.core.records import Record
from deputize.files import make_folder, reason
from deputize.store.access.local_user import local_user, sudo_user
from deputize.store.keys.ciphers import pack
from deputize.store.keys.keyring import KeyRing

START = "0" * 64
"""What stands for the hash before the first entry."""

HEAD_MISSING = "audit.head_missing"
"""Action of the entry that is added when the signed head was not there or not genuine."""

_ACTS: ContextVar[str] = ContextVar("acts", default="")
_HEAD_BYTES = 512
_TAIL_BYTES = 1 << 16


class AuditEntry(Record, frozen=True):
    """One link of the chain."""

    n: int
    """From 1 on, without gaps."""
    at: float
    actor: str
    action: str
    """read.raw, read.curated, keys.use, keys.rotate, route.promote, erase, export.ask, denied ..."""
    subject: str = ""
    """What it was done to: a pseudonym, a route, a key id."""
    tenant: str = ""
    detail: dict[str, str] = msgspec.field(default_factory=dict)
    prev: str = START
    hash: str = ""
    signature: bytes = b""


class Head(Record, frozen=True):
    """The end of the chain."""

    n: int
    hash: str
    signature: bytes = b""


class ChainCheck(Record, frozen=True):
    """Result of `verify`."""

    ok: bool
    n_entries: int
    """Entries that are in order, from the first on."""
    broken_at: int | None = None
    """The first entry (from 1 on) that is not as it was written; None while the chain holds."""
    why: str = ""
    head: Head | None = None


class AuditLog:
    """Appends to the log of one home. Several processes may do so at once."""

    def __init__(self, home: Path, keyring: KeyRing, *, clock: Callable[[], float] = time.time) -> None:
        self._log, self._head = home / "audit.log", home / "audit.head"
        self._keyring = keyring
        self._key = Ed25519PrivateKey.from_private_bytes(keyring.derive("audit"))
        self._clock = clock

    @property
    def public_key(self) -> bytes:
        """32 bytes with which anybody can verify the log; hand them to the auditor once."""
        return self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    def append(
        self,
        action: str,
        *,
        actor: str = "",
        subject: str = "",
        tenant: str = "",
        detail: dict[str, str] | None = None,
    ) -> AuditEntry:
        """Adds one entry; it is on the disk when this returns.

        Args:
            action: what was done.
            actor: who did it; default whom `acts_as` names, else the user of the operating system.
            subject: to what.
            tenant: whose.
            detail: more, nothing of a call's text.

        Raises:
            StoreError: the log cannot be written: what was to be logged must not be done.
        """
        try:
            with self._locked() as log:
                last, genuine = self._last(log)
                if not genuine:
                    noted = self._write(log, last, HEAD_MISSING, acting_name(), "", "", {})
                    last = Head(n=noted.n, hash=noted.hash)
                by = sudo_user() if not actor and not _ACTS.get() else ""
                said = {**(detail or {}), **({"sudo_user": by} if by else {})}
                return self._write(log, last, action, actor or acting_name(), subject, tenant, said)
        except OSError as error:
            raise StoreError(f"The audit log {self._log} cannot be written: {reason(error)}.") from error

    @contextmanager
    def _locked(self) -> Iterator[int]:
        make_folder(self._log.parent)
        log = os.open(self._log, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(log, fcntl.LOCK_EX)
            yield log
        finally:
            os.close(log)

    def _last(self, log: int) -> tuple[Head, bool]:
        """The link to go on from, and whether the signed head was there as it should be."""
        size = os.fstat(log).st_size
        tail = os.pread(log, _TAIL_BYTES, max(0, size - _TAIL_BYTES))
        whole, newline, torn = tail.rpartition(b"\n")
        if torn:  # the process died while it wrote this line: it was never there
            os.ftruncate(log, size - len(torn))
        entry = _entry(whole.rpartition(b"\n")[2]) if newline else None
        head = _read_head(self._head, self._key.public_key())
        if entry is None and size == len(torn) and not self._head.exists():
            return Head(n=0, hash=START), not (_has_store(self._log.parent) or self._keyring.has_api_keys)
        if head is None:
            return (Head(n=entry.n, hash=entry.hash) if entry else Head(n=0, hash=START)), False
        if (
            entry is not None
            and entry.n == head.n + 1
            and entry.prev == head.hash
            and _signed(entry.hash, entry.signature, self._key.public_key())
        ):
            return Head(n=entry.n, hash=entry.hash), True  # died between the entry and its head
        # where the log was cut, going on from the head keeps the gap in sight for good
        return head, True

    def _write(
        self, log: int, last: Head, action: str, actor: str, subject: str, tenant: str, detail: dict[str, str]
    ) -> AuditEntry:
        bare = AuditEntry(
            n=last.n + 1,
            at=self._clock(),
            actor=actor,
            action=action,
            subject=subject,
            tenant=tenant,
            detail=detail,
            prev=last.hash,
        )
        digest = _hash(bare)
        entry = msgspec.structs.replace(bare, hash=digest, signature=self._key.sign(pack("entry", digest)))
        line = msgspec.json.encode(entry) + b"\n"
        end = os.fstat(log).st_size
        try:
            written = os.pwrite(log, line, end)
            if written < len(line):
                os.pwrite(log, line[written:], end + written)
            os.fdatasync(log)
        except OSError:
            os.ftruncate(log, end)
            raise
        head = Head(n=entry.n, hash=digest, signature=self._key.sign(_head_text(entry.n, digest)))
        # one sector, written in place: cheap, and never half of it
        descriptor = os.open(self._head, os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            os.pwrite(descriptor, msgspec.json.encode(head).ljust(_HEAD_BYTES - 1) + b"\n", 0)
            os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
        return entry

    def head(self) -> Head | None:
        """The signed head, to be kept elsewhere; None while nothing was logged or where it is not genuine."""
        return _read_head(self._head, self._key.public_key())

    def latest(self, name: str, value: str, *, since: int = 0) -> tuple[int, AuditEntry | None]:
        """The newest genuine entry with a certain detail, read from the end of the log on.

        Args:
            name: of the detail.
            value: of the detail.
            since: an offset in the log that an earlier call gave; entries before it are not looked at.

        Returns:
            The offset of the end of the log, and the entry; None where there is none.

        Raises:
            StoreError: the log cannot be read.
        """
        wanted = b"%b:%b" % (msgspec.json.encode(name), msgspec.json.encode(value))
        try:
            with self._log.open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                since = since if since <= size else 0
                for line in _lines_from_end(file, since, size):
                    entry = _entry(line) if wanted in line else None
                    if entry is not None and entry.detail.get(name) == value and self._is_genuine(entry):
                        return size, entry
        except FileNotFoundError:
            return 0, None
        except OSError as error:
            raise StoreError(f"The audit log {self._log} cannot be read: {reason(error)}.") from error
        return size, None

    def doubt(self, since: AuditEntry | None) -> str:
        """A reason why entries that came after one may be missing; "" where there is none.

        `verify` looks at the whole chain; this is for whoever rests on the newest entry about something.

        Args:
            since: a genuine entry of the log; None: there is none of the kind.

        Raises:
            StoreError: the log cannot be read.
        """
        # the head first: others may write meanwhile, and are then beyond it
        head, has_head = _read_head(self._head, self._key.public_key()), self._head.exists()
        last: AuditEntry | None = None
        try:
            with self._log.open("rb") as file:
                for line in _lines_from_end(file, 0, file.seek(0, os.SEEK_END)):
                    entry = _entry(line)
                    if entry is None and last is None:
                        continue  # half a line: it is being written
                    if entry is None or entry.action == HEAD_MISSING:
                        return "its head was removed, or a line of it was changed"
                    if last is None and (head.n > entry.n if head is not None else entry.n > 1):
                        return "its end was cut off" if head is not None else "its head is gone"
                    if last is not None and (entry.n, entry.hash) != (last.n - 1, last.prev):
                        return "a part of it is missing"
                    if _hash(entry) != entry.hash or (head is not None and not self._is_known(entry, head)):
                        return "an entry of it is not as it was written"
                    last = entry
                    if since is not None and entry.hash == since.hash:
                        return ""
        except FileNotFoundError:
            pass
        except OSError as error:
            raise StoreError(f"The audit log {self._log} cannot be read: {reason(error)}.") from error
        if last is None:
            is_used = has_head or self._keyring.has_api_keys or _has_history(self._log.parent)
            return "it is gone" if is_used else ""
        return "" if last.prev == START else "its beginning is missing"

    def _is_known(self, entry: AuditEntry, head: Head) -> bool:
        """True for an entry up to the head, which the chain holds, and for a genuine one beyond it."""
        if entry.n > head.n:
            return self._is_genuine(entry)
        return entry.n < head.n or entry.hash == head.hash

    def _is_genuine(self, entry: AuditEntry) -> bool:
        return _hash(entry) == entry.hash and _signed(entry.hash, entry.signature, self._key.public_key())

    def entries(self) -> Iterator[AuditEntry]:
        """Entries as they stand, oldest first; lines that are none are left out (`verify` names them)."""
        for line in _lines(self._log):
            entry = _entry(line)
            if entry is not None:
                yield entry

    def verify(self, *, known_head: Head | None = None) -> ChainCheck:
        """Goes through the whole chain; see `verify`."""
        return verify(self._log.parent, self.public_key, known_head=known_head)


def verify(home: Path, public_key: bytes, *, known_head: Head | None = None) -> ChainCheck:
    """Goes through a log from its first entry and names the first link that is not as it was written.

    Args:
        home: folder of audit.log and audit.head.
        public_key: 32 bytes, from `AuditLog.public_key`.
        known_head: a head kept elsewhere at an earlier time; shows that the log was not replaced by an older copy.

    Raises:
        StoreError: the log cannot be read.
    """
    key = Ed25519PublicKey.from_public_bytes(public_key)
    head = _read_head(home / "audit.head", key)
    n, last = 0, START
    found: dict[int, str] = {}

    def broken(why: str) -> ChainCheck:
        return ChainCheck(ok=False, n_entries=n, broken_at=n + 1, why=why, head=head)

    for line in _lines(home / "audit.log"):
        entry = _entry(line)
        if entry is None:
            return broken(f"entry {n + 1} cannot be read")
        if entry.n != n + 1 or entry.prev != last:
            if _hash(entry) != entry.hash:
                return broken(f"entry {n + 1} was changed")
            return broken(f"entry {n + 1} is missing or was moved: entry {entry.n} is in its place")
        if _hash(entry) != entry.hash:
            return broken(f"entry {n + 1} was changed")
        if not _signed(entry.hash, entry.signature, key):
            return broken(f"entry {n + 1} is forged: its signature is not ours")
        if entry.action == HEAD_MISSING:
            return broken(
                f"before entry {n + 1} the signed head was removed or changed, perhaps with entries at the end"
            )
        n, last = n + 1, entry.hash
        if (head and n == head.n) or (known_head and n == known_head.n):
            found[n] = last
    if not n and _has_store(home):
        return broken("the whole log is gone: this home has a store, and every opening of it is an entry")
    if head is None and (n or (home / "audit.head").exists()):
        return broken("the signed head is missing or not genuine")
    for what, one in (("signed head", head), ("head kept elsewhere", known_head)):
        if one is not None and one.n > n:
            return broken(f"the log ends after entry {n}, and the {what} knows {one.n}: the end was cut off")
        if one is not None and one.n and found.get(one.n) != one.hash:
            n = one.n - 1
            return broken(f"entry {one.n} is not the one the {what} knows")
    return ChainCheck(ok=True, n_entries=n, head=head)


def _has_store(home: Path) -> bool:
    """A home with a store has a log: opening the store writes the first entry before it makes its files (store.*)."""
    return any(home.glob("store.*"))


def _has_history(home: Path) -> bool:
    """True for a home of which the log must say something: the first API key is an entry too."""
    return _has_store(home) or (home / "keys" / "api_keys.json").exists()


def _hash(entry: AuditEntry) -> str:
    detail = [part for name in sorted(entry.detail) for part in (name, entry.detail[name])]
    text = pack(
        entry.n,
        repr(entry.at),
        entry.actor,
        entry.action,
        entry.subject,
        entry.tenant,
        len(detail),
        *detail,
        entry.prev,
    )
    return hashlib.sha256(text).hexdigest()


def _head_text(n: int, digest: str) -> bytes:
    return pack("head", n, digest)


def _signed(digest: str, signature: bytes, key: Ed25519PublicKey) -> bool:
    try:
        key.verify(signature, pack("entry", digest))
    except InvalidSignature:
        return False
    return True


def _entry(line: bytes) -> AuditEntry | None:
    try:
        return msgspec.json.decode(line, type=AuditEntry)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            for line in file:
                yield line.rstrip(b"\n")
    except FileNotFoundError:
        return
    except OSError as error:
        raise StoreError(f"The audit log {path} cannot be read: {reason(error)}.") from error


def _lines_from_end(file: BinaryIO, start: int, end: int) -> Iterator[bytes]:
    """Whole lines between two offsets, last one first."""
    rest = b""
    while end > start:
        n_bytes = min(_TAIL_BYTES, end - start)
        end -= n_bytes
        file.seek(end)
        lines = (file.read(n_bytes) + rest).split(b"\n")
        rest = lines[0]
        yield from reversed(lines[1:])
    if rest:
        yield rest


def _read_head(path: Path, key: Ed25519PublicKey) -> Head | None:
    try:
        head = msgspec.json.decode(path.read_bytes(), type=Head)
        key.verify(head.signature, _head_text(head.n, head.hash))
    except FileNotFoundError:
        return None
    except (msgspec.DecodeError, UnicodeDecodeError, InvalidSignature):
        return None
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {reason(error)}.") from error
    return head


@contextmanager
def acts_as(name: str) -> Iterator[None]:
    """Entries inside that name nobody are of this actor."""
    before = _ACTS.set(name)
    try:
        yield
    finally:
        _ACTS.reset(before)


def acting_name() -> str:
    """Who acts, as entries that name nobody say it."""
    return _ACTS.get() or local_user()
