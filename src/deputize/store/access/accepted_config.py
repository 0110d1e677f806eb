"""The settings of a home that are in force: those that the audit log knows, where the home has had API keys.

config.toml and prices.toml are edited by hand, so they carry no seal. Whoever can write to the home could loosen them
(another upstream, fewer detectors, no keys), or put last year's copy back. So in a home that people share, which is one
that has had API keys, a changed file takes effect when a person with a right to manage keys accepts it: an entry of the
audit log, signed, with their name and the names of the settings that changed. In a home without keys its one user is at
work: a change is an entry and takes effect at once.
"""

from __future__ import annotations

import hashlib
import logging
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deputize.core.errors import StoreError, Tampered
from deputize.files import reason, write_atomic
from deputize.store.access.api_keys import ApiKeys
from deputize.store.access.audit_log import AuditEntry, AuditLog
from deputize.store.keys.keyring import KeyRing

FILES = ("config.toml", "prices.toml")
"""The first one names the entries of the audit log."""
_log = logging.getLogger("deputize.home")

_COPY = "config.accepted"
_COPY_AAD = b"accepted configuration"
_MOST_NAMED = 12


def config_digest(home: Path) -> str:
    """SHA-256 of the settings of a home; "" where it has no file of them."""
    return _digest(_contents(home))


def _contents(home: Path) -> list[bytes]:
    """The bytes of each file; b"" for one that is not there."""
    out: list[bytes] = []
    for name in FILES:
        try:
            out.append((home / name).read_bytes())
        except FileNotFoundError:
            out.append(b"")
        except OSError as error:
            raise StoreError(f"{home / name} cannot be read: {reason(error)}.") from error
    return out


def _digest(contents: list[bytes]) -> str:
    if not any(contents):
        return ""
    return hashlib.sha256(b"".join(hashlib.sha256(data).digest() for data in contents)).hexdigest()


class AcceptedConfig:
    """Says whether the settings of a home are those that are in force, and puts others in force."""

    def __init__(self, home: Path, keyring: KeyRing, audit: AuditLog, api_keys: ApiKeys) -> None:
        self._home, self._keyring, self._audit, self._api_keys = home, keyring, audit, api_keys
        self._copy_path = home / _COPY
        self._known = ""
        """The digest that was found to be in force last, so that one is looked up once."""
        self._is_known = False
        self._refused = ""

    def check(self) -> str:
        """The digest of the settings, where they are in force. A change in a home without API keys is noted.

        Raises:
            Tampered: the home has had API keys, and nobody has accepted these settings.
            StoreError: they or the audit log cannot be read.
        """
        contents = _contents(self._home)
        self._check(contents)
        return _digest(contents)

    def read(self, *, falls_back: bool = False) -> list[bytes]:
        """The bytes of each of FILES, where they are in force; b"" for one that is not there.

        Args:
            falls_back: where it is not, the version that is; for a process that takes the place of another one.

        Raises:
            Tampered, StoreError: as `check`; also where the version in force is not known any more.
        """
        contents = _contents(self._home)
        try:
            self._check(contents)
        except Tampered as error:
            entry = self._entry()
            kept = self._remembered()
            if not falls_back or not any(kept) or self._audit.doubt(entry):
                raise
            _log.warning("%s Until then the settings in force are used.", error)
            return kept
        return contents

    def _check(self, contents: list[bytes]) -> None:
        digest = _digest(contents)
        if self._is_known and digest == self._known:
            return
        entry = self._entry()
        if self._api_keys.required and (doubt := self._audit.doubt(entry)):
            raise self._doubtful(digest, doubt)
        if entry is None:  # the first look: these are what the home begins with
            self._remember(contents)
        elif entry.detail.get("sha256", "") != digest:
            changed = self.changed()
            if self._api_keys.required:
                raise self._refusal(digest, entry, changed)
            self._note("config.change", entry, digest, changed)
            self._remember(contents)
        self._known, self._is_known = digest, True

    def begin(self) -> None:
        """Puts the present settings in force where none have been yet: before the first API key is made.

        Raises:
            Tampered, StoreError: as `check`.
        """
        self.check()
        if self._entry() is None:
            self.accept()

    def accept(self) -> tuple[str, ...]:
        """Puts the settings as they stand now in force; returns the names of those that changed.

        Raises:
            StoreError: the audit log cannot be written.
        """
        contents = _contents(self._home)
        changed = self.changed()
        self._note("config.accept", self._entry(), _digest(contents), changed)
        self._remember(contents)
        self._known, self._is_known = _digest(contents), True
        return changed

    def changed(self) -> tuple[str, ...]:
        """The names of the settings that differ from those in force; a file name where it cannot be told."""
        now, before = _contents(self._home), self._remembered()
        out: list[str] = []
        for name, new, old in zip(FILES, now, before, strict=True):
            if new != old:
                out += _changed_settings(name, old, new) or [name]
        return tuple(out)

    def state(self) -> tuple[str, AuditEntry | None, bool]:
        """(digest now, the entry that says what is in force, whether this is it)."""
        digest, entry = config_digest(self._home), self._entry()
        return digest, entry, entry is None or entry.detail.get("sha256", "") == digest

    def _entry(self) -> AuditEntry | None:
        _, entry = self._audit.latest("file", FILES[0])
        return entry

    def _note(self, action: str, before: AuditEntry | None, digest: str, changed: tuple[str, ...]) -> None:
        detail = {
            "file": FILES[0],
            "before": before.detail.get("sha256", "") if before is not None else "",
            "after": digest,
            "sha256": digest,
            "changed": _listed(changed),
        }
        self._audit.append(action, subject=FILES[0], detail=detail)

    def _refusal(self, digest: str, entry: AuditEntry, changed: tuple[str, ...]) -> Tampered:
        if self._refused != digest:  # once, however often it is looked at
            self._refused = digest
            why = f"changed settings nobody has accepted: {_listed(changed)}"
            self._audit.append("denied", subject=FILES[0], detail={"why": why})
        since = datetime.fromtimestamp(entry.at, UTC).strftime("%Y-%m-%d %H:%M UTC")
        return Tampered(
            f"{self._home / FILES[0]} is not the one in force since {since} (changed: {_listed(changed)}). This home has "
            "API keys, so a change takes effect when a person accepts it: deputize config accept"
        )

    def _doubtful(self, digest: str, doubt: str) -> Tampered:
        if self._refused != digest:
            self._refused = digest
            self._audit.append("denied", subject=FILES[0], detail={"why": f"the audit log: {doubt}"})
        return Tampered(
            f"It cannot be told whether {self._home / FILES[0]} is the one in force, for the audit log is not whole ({doubt}). See "
            "deputize audit verify; then, where the settings are right: deputize config accept"
        )

    def _remember(self, contents: list[bytes]) -> None:
        """Keeps a sealed copy, by which the next change is told."""
        if not any(contents) and not self._copy_path.exists():
            return
        data = b"".join(len(part).to_bytes(8, "big") + part for part in contents)
        write_atomic(self._copy_path, self._keyring.seal(data, _COPY_AAD))

    def _remembered(self) -> list[bytes]:
        """The settings in force; empty where the copy is gone, or is not the one that the audit log knows."""
        entry = self._entry()
        try:
            data = self._keyring.unseal(self._copy_path.read_bytes(), _COPY_AAD)
        except (OSError, Tampered):
            return [b""] * len(FILES)
        parts: list[bytes] = []
        while data:
            size = int.from_bytes(data[:8], "big")
            parts.append(data[8 : 8 + size])
            data = data[8 + size :]
        known = entry is not None and entry.detail.get("sha256", "") == _digest(parts)
        return parts if known else [b""] * len(FILES)


def _listed(names: tuple[str, ...]) -> str:
    shown = ", ".join(names[:_MOST_NAMED])
    return f"{shown} and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else shown


def _changed_settings(name: str, old: bytes, new: bytes) -> list[str]:
    """The names of the settings that two versions of a file differ in; values stand in none of them."""
    try:
        before, after = (dict(_flat(tomllib.loads(data.decode()))) for data in (old, new))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError):
        return []
    prefix = "" if name == FILES[0] else f"{name}: "
    return [prefix + key for key in sorted(before.keys() | after.keys()) if before.get(key) != after.get(key)]


def _flat(table: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
