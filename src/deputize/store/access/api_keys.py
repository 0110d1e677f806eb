"""API keys: shown once, kept as keyed hashes, with a role, a tenant, the models they may ask for, and limits."""

from __future__ import annotations

import base64
import hmac
import os
import re
import time
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple, TypeAlias, TypeVar

import msgspec

from deputize.core.errors import AccessDenied, BadInput, NotAuthenticated, StoreError, Tampered
from deputize.core.records import Record
from deputize.files import FileStamp, coming, locked, put_in_place, read_noted, reason, stamp_of, write_atomic
from deputize.store.access.audit_log import AuditLog
from deputize.store.access.generations import Generations, Shares, generation_detail, shares_nothing
from deputize.store.access.roles import GRANTABLE, Actor, Role, owner, parse_role
from deputize.store.keys.keyring import KeyRing

_FORM = re.compile(r"dpk_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")


class ApiKey(Record, frozen=True):
    """Record that is kept of a key; nothing in it opens anything."""

    id: str
    digest: bytes
    role: str
    tenant: str = "default"
    label: str = ""
    models: tuple[str, ...] = ()
    """Models it may ask for, `*` at the end stands for anything; () for all."""
    requests_per_minute: float | None = None
    usd_per_month: float | None = None
    grants: tuple[str, ...] = ()
    created_at: float = 0.0
    expires_at: float | None = None
    revoked_at: float | None = None
    issuer_chain: tuple[str, ...] = ()
    """As in store.access.roles.Actor."""

    @property
    def actor(self) -> Actor:
        """Who somebody with this key is."""
        return Actor(
            name=self.id,
            role=self.role,
            tenant=self.tenant,
            grants=self.grants,
            issuer_chain=self.issuer_chain,
        )

    def may_ask(self, model: str) -> bool:
        """True where the key may ask for a model."""
        return not self.models or any(
            model == allowed or (allowed.endswith("*") and model.startswith(allowed[:-1]))
            for allowed in self.models
        )


class NewKey(Record, frozen=True):
    """A key just made, with its text for the only time."""

    key: ApiKey
    text: str


class _KeyFile(Record, frozen=True):
    keys: list[ApiKey] = msgspec.field(default_factory=list)
    required: bool = False
    """The gateway asks for a key: from the first one on, until a person says otherwise."""
    generation: int = 0
    """Known to the audit log, so that no older copy can bring a revoked key back."""
    mac: bytes = b""
    """Over all the rest, with a key of the ring: nobody adds a key or a right with an editor."""
    version: int = 1


class _Entry(NamedTuple):
    """Of the audit log, about a change of the keys."""

    action: str
    subject: str
    tenant: str = ""
    detail: Mapping[str, str] = MappingProxyType({})


class KeysUnknown(StoreError):
    """It cannot be told now which API keys are in force; the sentence names nothing of this machine."""


FILE = "keys/api_keys.json"

T = TypeVar("T")

_Stamps: TypeAlias = tuple[FileStamp | None, FileStamp | None]
"""Of the file, and of a version that is on its way into its place."""


class ApiKeys:
    """The keys of one home, in HOME/keys/api_keys.json; other processes' changes are seen within `poll_s`."""

    def __init__(
        self,
        home: Path,
        keyring: KeyRing,
        *,
        poll_s: float = 1.0,
        clock: Callable[[], float] = time.time,
        shares: Callable[[], Shares | None] = shares_nothing,
    ) -> None:
        """
        Args:
            home: the home folder.
            keyring: its keys.
            poll_s: seconds between looks at the file.
            clock: Unix seconds.
            shares: gives what publishes changes to other homes, None where nothing does; called before a change.
        """
        self._path, self._clock, self._poll_s = home / "keys" / "api_keys.json", clock, poll_s
        self._shares, self._is_known = shares, _always
        self._keyring = keyring
        self._secret = keyring.derive("api-keys")
        self._audit = AuditLog(home, keyring, clock=clock)
        self._generations = Generations(self._audit)
        self._log_is_whole = self._accepts_doubt = False
        self._coming = coming(self._path)
        self._seen: _Stamps | None = None
        self._looked_at_stamp: _Stamps | None = None
        self._looked_at = float("-inf")
        self._damage: StoreError | None = None
        self._file = _KeyFile()
        self._keys: dict[str, ApiKey] = {}

    def create(
        self,
        role: str,
        *,
        tenant: str = "default",
        label: str = "",
        models: Sequence[str] = (),
        requests_per_minute: float | None = None,
        usd_per_month: float | None = None,
        grants: Sequence[str] = (),
        expires_at: float | None = None,
        maker: Actor | None = None,
    ) -> NewKey:
        """A new key. Its text is in the result and nowhere else.

        Args:
            role: ingest, operator, curator, auditor, admin or erasure_officer.
            tenant: the one tenant it is for, or "*".
            label: what people call it.
            models: models it may ask for ("gpt-4o*" style); empty for all.
            requests_per_minute: rate limit.
            usd_per_month: budget by calendar month (UTC).
            grants: "read raw text", "export raw text".
            expires_at: Unix seconds.
            maker: who makes it; None for the local user.

        Raises:
            AccessDenied: no such role, or it is not for keys.
            BadInput: a limit, grant or tenant that makes no sense.
            StoreError: it cannot be written.
        """
        if parse_role(role) is Role.OWNER:
            raise AccessDenied("The owner is whoever holds the home folder; no key can have that role.")
        unknown = sorted(set(grants) - {right.value for right in GRANTABLE})
        if unknown:
            raise BadInput(
                f"{unknown[0]!r} cannot be granted; {' and '.join(sorted(r.value for r in GRANTABLE))} can."
            )
        _check_tenant(tenant)
        for name, limit in (("requests_per_minute", requests_per_minute), ("usd_per_month", usd_per_month)):
            if limit is not None and not 0 < limit < float("inf"):
                raise BadInput(f"{name} must be a positive number, not {limit}.")
        id, secret = os.urandom(6).hex(), base64.urlsafe_b64encode(os.urandom(32)).rstrip(b"=").decode()
        key = ApiKey(
            id=id,
            digest=self._digest(id, secret),
            role=role,
            tenant=tenant,
            label=label,
            models=tuple(models),
            requests_per_minute=_float(requests_per_minute),
            usd_per_month=_float(usd_per_month),
            grants=tuple(grants),
            created_at=self._clock(),
            expires_at=_float(expires_at),
            issuer_chain=_issuer_chain(maker),
        )
        self._change(_made(key), lambda keys: {**keys, id: key}, required=True)
        return NewKey(key=key, text=f"dpk_{id}_{secret}")

    def list(self) -> tuple[ApiKey, ...]:
        """All keys, revoked ones too, oldest first."""
        self._look(force=True)
        return tuple(sorted(self._keys.values(), key=lambda k: k.created_at))

    def __bool__(self) -> bool:
        """True where there is any key that opens."""
        return any(k.revoked_at is None for k in self.list())

    @property
    def required(self) -> bool:
        """True where the gateway asks for a key: once there has been one, whatever became of it, until
        `require(False)`. A file that is gone, forged or older than the audit log knows asks for one too."""
        try:
            # the first key closes the gateway from the next request on, not at the next look
            self._look(force=self._stamp() != self._looked_at_stamp)
        except StoreError:
            return True
        return self._file.required

    def require(self, required: bool) -> None:
        """Says whether the gateway asks for keys from now on.

        Raises:
            StoreError: it cannot be written.
        """
        self._accepts_doubt = True  # a person who has looked at the keys says that they are right
        try:
            self._change(
                _Entry("keys.require", "on" if required else "off"), lambda keys: keys, required=required
            )
        finally:
            self._accepts_doubt = False

    def revoke_all(self) -> None:
        """Closes every key, also where their file is gone, forged or older than the audit log knows. Keys stay
        required.

        Raises:
            StoreError: it cannot be written.
        """

        def close_all() -> None:
            try:
                self._look(force=True)
            except Tampered:
                self._keys = {}
            now = self._clock()
            closed = [
                k if k.revoked_at else msgspec.structs.replace(k, revoked_at=now) for k in self._keys.values()
            ]
            generation = max(self._file.generation, self._generations.known(FILE)) + 1
            self._write(_Entry("keys.revoke", "*"), closed, required=True, generation=generation)
            self._look(force=True)

        self._alone(close_all)

    def install(self, data: bytes) -> None:
        """Puts a file of API keys in force that another home has written, whoever holds the lock of `Shares.change`.

        Raises:
            Tampered: it is none of these keys' files, or an older one than this home has had.
            StoreError: it cannot be written.
        """
        self._accepts_doubt = True  # the pointer says that it is the newest
        try:
            file = self._checked(data)
        finally:
            self._accepts_doubt = False
        self._put(data, _Entry("file.write", FILE), file.generation)

    def _alone(self, work: Callable[[], T]) -> T:
        """Does a change of the file with nobody else writing, here or in another home."""
        shared = self._shares()

        def locked_work() -> T:
            with locked(self._path):
                return work() if shared is None else shared.change(work)

        return locked_work() if shared is None else shared.sending_first(locked_work)

    def revoke(self, id: str) -> ApiKey:
        """Closes a key for good.

        Raises:
            BadInput: no such key.
        """

        def revoked(keys: dict[str, ApiKey]) -> dict[str, ApiKey]:
            if id not in keys:
                raise BadInput(f"There is no API key {id!r}; `deputize keys list` shows them.")
            if keys[id].revoked_at is not None:
                return keys
            return {**keys, id: msgspec.structs.replace(keys[id], revoked_at=self._clock())}

        tenant = self._keys[id].tenant if id in self._keys else ""
        self._change(_Entry("keys.revoke", id, tenant), revoked)
        return self._keys[id]

    def trust_while(self, is_known: Callable[[], bool]) -> None:
        """No key opens anything while `is_known` is False: other homes may have closed it."""
        self._is_known = is_known

    def _check_known(self) -> None:
        if not self._is_known():
            raise KeysUnknown("It cannot be told now whether an API key is still valid; try again later.")

    def verify(self, text: str) -> ApiKey:
        """The key that a text is.

        Raises:
            NotAuthenticated: it is none, or revoked, or expired; the sentence does not say which.
            KeysUnknown: what other homes have changed is not known.
        """
        self._check_known()
        self._look()
        form = _FORM.fullmatch(text.strip())
        key = self._keys.get(form.group(1)) if form else None
        # a digest is compared even where there is no key, so that time does not tell the cases apart
        expected = key.digest if key else bytes(32)
        given = self._digest(form.group(1), form.group(2)) if form else bytes(32)
        if not hmac.compare_digest(expected, given) or key is None or self._is_closed(key):
            raise NotAuthenticated("The API key is not valid here.")
        return key

    def open_key(self, id: str) -> ApiKey:
        """The key with an id, for whoever has shown it before.

        Raises:
            NotAuthenticated: there is none, or it was revoked or has expired since.
            KeysUnknown: what other homes have changed is not known.
        """
        self._check_known()
        self._look()
        key = self._keys.get(id)
        if key is None or self._is_closed(key):
            raise NotAuthenticated("The API key is not valid here.")
        return key

    def _is_closed(self, key: ApiKey) -> bool:
        return key.revoked_at is not None or (key.expires_at is not None and key.expires_at <= self._clock())

    def _digest(self, id: str, secret: str) -> bytes:
        # 256 random bits need no slow hash: there is nothing to guess
        return hmac.digest(self._secret, f"{id}.{secret}".encode(), "sha256")

    def _look(self, *, force: bool = False) -> None:
        """Reads the file again where it has changed."""
        now = time.monotonic()
        if not force and now - self._looked_at < self._poll_s:
            if self._damage is not None:
                raise self._damage
            return
        self._looked_at, self._looked_at_stamp = now, self._stamp()
        try:
            self._read()
            self._damage = None
        except StoreError as error:
            self._damage, self._seen = error, None
            self._file, self._keys = _KeyFile(required=True), {}
            raise

    def _stamp(self) -> _Stamps:
        return stamp_of(self._path), stamp_of(self._coming)

    def _read(self) -> None:
        while True:
            known = self._generations.known(FILE)
            try:
                self._read_once()
                return
            except Tampered:
                # others may have noted another version while these bytes were read, and again; no copy raises what is known
                if self._generations.known(FILE) == known:
                    raise

    def _read_once(self) -> None:
        seen = self._stamp()
        if seen == self._seen:
            return
        try:
            data = read_noted(self._path, partial(self._generations.is_newest, FILE))
        except OSError as error:
            raise StoreError(f"{self._path} cannot be read: {reason(error)}.") from error
        if data is None:
            if self._keyring.has_api_keys or self._generations.known(FILE) or not self._is_log_whole():
                raise self._tampered("is gone")
            self._file, self._keys, self._seen = _KeyFile(), {}, None
            return
        self._file = self._checked(data)
        self._keys = {key.id: key for key in self._file.keys}
        self._seen = seen

    def _is_log_whole(self) -> bool:
        """True where it is certain that there has never been a key; once that is known it is not asked again."""
        self._log_is_whole = self._log_is_whole or not self._audit.doubt(None)
        return self._log_is_whole

    def _checked(self, data: bytes) -> _KeyFile:
        try:
            file = msgspec.json.decode(data, type=_KeyFile)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise self._tampered("is not a file of API keys") from None
        if not hmac.compare_digest(file.mac, self._mac(file)):
            raise self._tampered("was changed by another program")
        known = self._generations.known(FILE)
        if file.generation < known:
            raise self._tampered(
                f"is an older copy: its generation is {file.generation}, and the audit log knows {known}"
            )
        if self._accepts_doubt:
            return file
        if doubt := self._generations.doubt(FILE):
            raise Tampered(
                f"{self._path} may be an older copy, for the audit log is not whole ({doubt}), so no API key is taken. Look into it: "
                "where no key is open that was revoked, deputize keys require on; else deputize keys revoke --all"
            )
        if not self._generations.is_newest(FILE, data):
            raise self._tampered("is not the version that the audit log knows")
        return file

    def _tampered(self, how: str) -> Tampered:
        return Tampered(
            f"{self._path} {how}, so no API key is taken. Put the newest copy back from a backup, or close all keys with:"
            " deputize keys revoke --all"
        )

    def _mac(self, file: _KeyFile) -> bytes:
        return hmac.digest(
            self._secret, b"file" + msgspec.json.encode((file.keys, file.required, file.generation)), "sha256"
        )

    def _change(
        self,
        entry: _Entry,
        change: Callable[[dict[str, ApiKey]], dict[str, ApiKey]],
        *,
        required: bool | None = None,
    ) -> None:

        def changed() -> None:
            self._look(force=True)
            file = self._file
            known = self._generations.known(FILE)
            self._write(
                entry,
                list(change(self._keys).values()),
                required=file.required if required is None else required,
                generation=max(file.generation, known) + 1,
            )
            self._look(force=True)

        self._alone(changed)

    def _write(self, entry: _Entry, keys: Sequence[ApiKey], *, required: bool, generation: int) -> None:
        file = _KeyFile(keys=[*keys], required=required, generation=generation)
        file = msgspec.structs.replace(file, mac=self._mac(file))
        data = msgspec.json.format(msgspec.json.encode(file), indent=2) + b"\n"
        shared = self._shares()
        if shared is not None:
            shared.publish(keys=data)
        self._put(data, entry, generation)

    def _put(self, data: bytes, entry: _Entry, generation: int) -> None:
        write_atomic(self._coming, data)
        detail = {**entry.detail, **generation_detail(FILE, generation, data)}
        self._audit.append(entry.action, subject=entry.subject, tenant=entry.tenant, detail=detail)
        put_in_place(self._path)
        self._keyring.mark_api_keys()  # after the entry: a ring with the mark and no log was robbed of it


def _always() -> bool:
    return True


def _made(key: ApiKey) -> _Entry:
    grants = {"grants": ", ".join(key.grants)} if key.grants else {}
    return _Entry("keys.create", key.id, key.tenant, {"role": key.role, **grants})


def _issuer_chain(maker: Actor | None) -> tuple[str, ...]:
    maker = maker or owner()
    return (*maker.issuer_chain, maker.name)


def _check_tenant(tenant: str) -> None:
    """Raises BadInput for the name of a tenant that is none, or that nobody can tell from another one."""
    if not tenant:
        raise BadInput('A key needs a tenant, or "*" for all.')
    if not tenant.isprintable() or tenant != unicodedata.normalize("NFKC", tenant).strip():
        raise BadInput(
            f"The tenant {tenant!a} would look like another one in every list: no invisible or other form of a character, no"
            " blank at its ends."
        )


def _float(value: float | None) -> float | None:
    # 3 and 3.0 are written differently, and the file's seal is over what is written
    return None if value is None else float(value)
