"""A home folder, opened once at the edge of a program: keys, store, audit log, settings, runs, routes.

Commands, the gateway's launcher and the listener make a `Home`; everything below takes it, or the one part it needs.
Nothing is opened before it is used, so a command that reads only the routes touches no key.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from deputize.core.config import (
    EngineSettings,
    JudgeSettings,
    ObjectsSettings,
    Privacy,
    RouteSettings,
    RunnerSettings,
    ServingSettings,
    StoreSettings,
    TeacherSettings,
    sentence,
)
from deputize.core.errors import BadInput, StoreError, Tampered, UsageError
from deputize.core.recording_policy import Recording
from deputize.core.records import RouteFile
from deputize.files import locked_at_once, parse_toml, private_files, read_toml
from deputize.locations import home_path, models_path
from deputize.routes_file import read_routes

if TYPE_CHECKING:
    from deputize.store.access.accepted_config import AcceptedConfig
    from deputize.store.access.api_keys import ApiKeys
    from deputize.store.access.approvals import Approvals
    from deputize.store.access.audit_log import AuditLog
    from deputize.store.access.generations import AuditedRoutes, EvidenceSeal
    from deputize.store.access.noted_files import NotedFiles
    from deputize.store.access.rate_limiter import KeyLimits
    from deputize.store.base import Store
    from deputize.store.conversation_store import ConversationStore
    from deputize.store.keys.keyring import KeyRing
    from deputize.store.published.published_home import PublishedHome

_log = logging.getLogger("deputize.home")

S = TypeVar("S", bound=BaseModel)


class Home:
    """One home folder and what is open of it; each part is opened when it is first used, and once.

    A context manager: leaving it closes the store. Do not carry a home that has been used across a fork: the child
    makes its own.
    """

    def __init__(
        self,
        path: Path | str | None = None,
        *,
        keyring: KeyRing | None = None,
        environ: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.time,
        falls_back: bool = False,
    ) -> None:
        """
        Args:
            path: the folder; it need not exist yet. None: DEPUTIZE_HOME, else ./.deputize.
            keyring: its keys where they are open already; by default they are opened, or made, when first used.
            environ: where a key provider finds its settings, os.environ by default.
            clock: Unix seconds.
            falls_back: where nobody has accepted the settings as they stand now, those in force are read; for a process
                that takes the place of one that has them.
        """
        self.path = path if isinstance(path, Path) else home_path(path)
        self._environ, self._clock, self._falls_back = environ, clock, falls_back
        if keyring is not None:
            self.keyring = keyring

    def __enter__(self) -> Home:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Closes the store where it was opened; it is opened again when it is used again."""
        store = self.__dict__.pop("store", None)
        if store is not None:
            store.close()

    def now(self) -> float:
        """Unix seconds, by the clock of this home."""
        return self._clock()

    def fresh(self) -> Home:
        """The same folder with nothing opened yet, to be closed by the caller."""
        return Home(self.path, environ=self._environ, clock=self._clock)

    # --- keys, access and audit ---

    @cached_property
    def keyring(self) -> KeyRing:
        """The keys, made on first use.

        Raises:
            StoreError, Tampered, BadInput: as KeyRing.open.
        """
        from deputize.store.keys.keyring import KeyRing

        return KeyRing.open(self.path, environ=self._environ)

    def require_keys(self) -> KeyRing:
        """The keys of a home that has some; none are made.

        Raises:
            StoreError: there are none, so nothing is stored here either.
        """
        from deputize.store.keys.keyring import KeyRing

        if "keyring" not in self.__dict__:
            self.keyring = KeyRing.open_existing(self.path, environ=self._environ)
        return self.keyring

    @cached_property
    def audit(self) -> AuditLog:
        """The audit log."""
        from deputize.store.access.audit_log import AuditLog

        return AuditLog(self.path, self.keyring, clock=self._clock)

    @cached_property
    def api_keys(self) -> ApiKeys:
        """The API keys of the gateway's callers and of the people who share this home."""
        from deputize.store.access.api_keys import ApiKeys

        return ApiKeys(self.path, self.keyring, shares=lambda: self.published)

    @cached_property
    def accepted_config(self) -> AcceptedConfig:
        """The settings in force."""
        from deputize.store.access.accepted_config import AcceptedConfig

        return AcceptedConfig(self.path, self.keyring, self.audit, self.api_keys)

    @cached_property
    def approvals(self) -> Approvals:
        """Requests to export raw calls."""
        from deputize.store.access.approvals import Approvals

        return Approvals(self.path, self.keyring, self.audit, open_key=self.api_keys.open_key)

    def note_keys_used(self) -> None:
        """Notes in the audit log that the keys are used: before the store is opened, or artifacts are changed.

        With it goes the digest of the settings in force (see store.access.accepted_config).
        """
        detail = {"kek": self.keyring.provider.key_id}
        # settings that nobody has accepted must not stand in the way of an erasure; whoever reads them is told
        with suppress(Tampered):
            detail |= {"sha256": self.accepted_config.check(), "file": self.config_path.name}
        self.audit.append("keys.use", subject=self.keyring.id, detail=detail)

    def key_limits(self, n_workers: int) -> KeyLimits:
        """Limits of API keys, shared by `n_workers` processes, or by all gateways of a store in PostgreSQL; to be
        closed by the caller."""
        from deputize.store.access.rate_limiter import RateLimiter
        from deputize.store.access.shared_limiter import SharedLimiter
        from deputize.store.postgres_connection import server_of

        settings = self._settings_of_store()
        if settings.kind == "postgres":
            return SharedLimiter(server_of(settings.options), clock=self._clock)
        return RateLimiter(self.path, n_workers=n_workers)

    # --- recorded calls ---

    @cached_property
    def store(self) -> Store:
        """The store, opened as by `open_store` and closed with the home."""
        return self.open_store()

    def open_store(self, *, audited: bool = True, busy_timeout_s: float = 10.0) -> Store:
        """The store, made on first use; what a crashed process left in its journal is read into it.

        Args:
            audited: note every reading of raw calls in the audit log, as done by whom `audit_log.acts_as` names, else
                by the user of the operating system. False where the reader notes who it is really for. The opening
                is noted in any case, before anything is made: so a store without a log means that the log was removed.
            busy_timeout_s: as open_store_for_writing.

        Returns:
            A store that the caller closes.

        Raises:
            StoreError: it cannot be opened, is damaged, or was written with other keys.
            BadInput: config.toml names a store that does not exist.
        """
        from deputize.store.access.audited_store import AuditedStore
        from deputize.store.recording.journal import left_over, recover

        self.note_keys_used()
        store = self.open_store_for_writing(busy_timeout_s=busy_timeout_s)
        if left_over(self.journals):
            try:
                recover(self.journals, self.keyring, store)
            except StoreError as error:
                # what is there can be read all the same; the journal waits for the next opening
                _log.error("Calls in the journal of a crashed process could not be stored yet: %s", error)
        return AuditedStore(store, self.audit) if audited else store

    def open_store_for_writing(
        self, *, busy_timeout_s: float = 10.0, settings: StoreSettings | None = None
    ) -> Store:
        """The store without a note in the audit log and without recovery: for the process that only writes to it.

        Args:
            busy_timeout_s: how long to wait for another writer before StoreError.
            settings: of another store than the one in config.toml.
        """
        from deputize.store.registry import StoreContext, make_store

        settings = settings or self._settings_of_store()
        place = StoreContext(
            folder=self.path,
            keyring=self.keyring,
            options=settings.options,
            busy_timeout_s=busy_timeout_s,
            clock=self._clock,
        )
        return make_store(settings.kind, place)

    def _settings_of_store(self) -> StoreSettings:
        try:
            return self.store_settings()
        except (BadInput, Tampered):
            # a damaged config.toml, or one that nobody has accepted, must not stand in the way of an erasure
            if (self.path / "store.db").exists():
                return StoreSettings()
            raise

    def writer_target(self) -> tuple[Store, KeyRing]:
        """Destination of the calls that the gateway's writer process moves (store.recording.journal_writer)."""
        return self.open_store_for_writing(), self.keyring

    @property
    def journals(self) -> tuple[Path, ...]:
        """Folders where recorders of this home keep their journals."""
        return (self.path / "journal", self.path / "spill")

    def conversations(self) -> ConversationStore:
        """Conversations behind response ids; to be closed by the caller."""
        from deputize.store.conversation_store import ConversationStore

        return ConversationStore(self.path, self.keyring)

    def existing_conversations(self) -> ConversationStore | None:
        """As `conversations`; None where no gateway has kept any."""
        from deputize.store.conversation_store import FILE

        return self.conversations() if (self.path / FILE).exists() else None

    # --- settings ---

    def table(self, name: str) -> Any:
        """One table of config.toml as it stands there now; {} where there is none.

        Raises:
            BadInput: the file cannot be read or is not TOML.
            Tampered: the home has had API keys, and nobody has accepted the file as it is.
        """
        return self._toml(0).get(name, {})

    def own_prices(self) -> dict[str, Any]:
        """prices.toml; {} where there is none. Raises as `table`."""
        return self._toml(1)

    def _toml(self, n: int) -> dict[str, Any]:
        """One of the files of settings, by its number in accepted_config.FILES."""
        path = (self.config_path, self.path / "prices.toml")[n]
        if (self.keys_path / "ring.json").exists():
            # what was checked is what is read: the file may change in between
            return parse_toml(path, self.accepted_config.read(falls_back=self._falls_back)[n])
        if (self.path / "audit.log").exists() or (self.keys_path / "api_keys.json").exists():
            ring = self.keys_path / "ring.json"
            raise Tampered(
                f"{ring} is gone, so it cannot be told which settings are in force. Put it back from a backup."
            )
        return read_toml(path)

    def _settings(self, name: str, kind: type[S]) -> S:
        try:
            return kind.model_validate(self.table(name))
        except ValidationError as error:
            raise BadInput(f"{self.config_path}, [{name}]: {sentence(error)}") from None

    def privacy(self) -> Privacy:
        """`[privacy]` of config.toml.

        Raises:
            BadInput: it holds something else.
        """
        return self._settings("privacy", Privacy)

    def judge_settings(self) -> JudgeSettings:
        """`[judge]` of config.toml.

        Raises:
            BadInput: it holds something else, lacks the address or the model, or live requests are masked.
        """
        found = self._settings("judge", JudgeSettings)
        if bool(found.base_url) != bool(found.model):
            raise BadInput(f"{self.config_path}, [judge]: base_url and model belong together.")
        if found.base_url and self.privacy().live == "mask":
            raise BadInput(
                f'{self.config_path}: a [judge] sees requests as they are, so it cannot be used with [privacy] live = "mask".'
            )
        return found

    def teacher_settings(self) -> TeacherSettings:
        """`[teacher]` of config.toml. Raises BadInput where it holds something else."""
        return self._settings("teacher", TeacherSettings)

    def store_settings(self) -> StoreSettings:
        """`[store]` of config.toml. Raises BadInput where it holds something else."""
        return self._settings("store", StoreSettings)

    def objects_settings(self) -> ObjectsSettings:
        """`[objects]` of config.toml.

        Raises:
            BadInput: it holds something else.
        """
        return self._settings("objects", ObjectsSettings)

    def route_settings(self) -> RouteSettings:
        """`[routes]` of config.toml.

        Raises:
            BadInput: it holds something else.
        """
        return self._settings("routes", RouteSettings)

    def runner_settings(self) -> RunnerSettings:
        """`[runner]` of config.toml. Raises BadInput where it holds something else."""
        return self._settings("runner", RunnerSettings)

    def engine_settings(self) -> EngineSettings:
        """`[engine]` of config.toml.

        Raises:
            BadInput: it holds something else.
        """
        return self._settings("engine", EngineSettings)

    def serving_settings(self) -> ServingSettings:
        """`[serving]` of config.toml. Raises BadInput where it holds something else."""
        return self._settings("serving", ServingSettings)

    def recording(self) -> Recording:
        """`[recording]` of config.toml. Raises BadInput where it holds something else."""
        return self._settings("recording", Recording)

    def retention(self) -> dict[str, float]:
        """`[retention]` of config.toml: tenant (or "*") -> days that its calls are kept; {} where all are kept for
        good.

        Raises:
            BadInput: a limit that is not a positive number.
        """
        limits = self.table("retention")
        if not isinstance(limits, dict):
            raise BadInput(
                f"{self.config_path}: [retention] holds one line a tenant, for example default = 90."
            )
        for tenant, days in limits.items():
            if isinstance(days, bool) or not isinstance(days, int | float) or not days > 0:
                raise BadInput(
                    f"{self.config_path}, [retention]: {tenant} must be a positive number of days, not {days!r}."
                )
        return {str(tenant): float(days) for tenant, days in limits.items()}

    # --- files and folders ---

    @contextmanager
    def exclusive(self, name: str) -> Iterator[None]:
        """Only one process does a kind of work on this home; the lock goes with the process. What is written meanwhile
        is for its owner alone.

        Args:
            name: of the work: run, watch, tagger.

        Raises:
            UsageError: another process does it.
            StoreError: the lock cannot be made.
        """
        with ExitStack() as lock:
            try:
                lock.enter_context(locked_at_once(self.path / name))
                lock.enter_context(private_files())
            except BlockingIOError:
                raise UsageError(
                    f"Another {name} is at work on {self.path}; wait for it or stop it."
                ) from None
            yield

    @property
    def config_path(self) -> Path:
        """config.toml."""
        return self.path / "config.toml"

    @property
    def keys_path(self) -> Path:
        """The key ring, key files and API keys."""
        return self.path / "keys"

    @property
    def routes_path(self) -> Path:
        """The route file (see deputize.routes_file)."""
        return self.path / "routes.json"

    @property
    def traces_path(self) -> Path:
        """Details of unexpected errors, which may quote a text; an erasure deletes them."""
        return self.path / "traces"

    @cached_property
    def routes_seal(self) -> AuditedRoutes:
        """The versions of the route file that the audit log knows; no key is touched before it is used."""
        from deputize.store.access.generations import AuditedRoutes

        return AuditedRoutes(lambda: self.audit, lambda: self.published)

    @cached_property
    def published(self) -> PublishedHome | None:
        """This home as one that shares with others through `[objects]`; None: it shares nothing.

        Raises:
            BadInput, MissingExtra: the address cannot be used.
            Tampered: the home shares, and nobody has accepted its settings as they are.
        """
        from deputize.store.published.buckets import open_bucket
        from deputize.store.published.published_home import POINTER, PublishedHome

        try:
            url = self.objects_settings().url
        except (BadInput, Tampered):
            # settings that cannot be read must not stand in the way of closing a route in a home that shares nothing
            if self.audit.latest("file", POINTER)[1] is None:
                return None
            raise
        return PublishedHome(self.path, self.keyring, self.audit, open_bucket(url)) if url else None

    @cached_property
    def evidence_seal(self) -> EvidenceSeal:
        """Signs the evidence of audits; no key is touched before it is used."""
        from deputize.store.access.generations import EvidenceSeal

        return EvidenceSeal(lambda: self.keyring.derive("audit evidence"), lambda: self.audit)

    @cached_property
    def noted_files(self) -> NotedFiles:
        """The versions of other files that the audit log knows; no key is touched before it is used."""
        from deputize.store.access.noted_files import NotedFiles

        ring = self.keys_path / "ring.json"
        return NotedFiles(self.path, lambda: self.audit, lambda: ring.exists() and self.api_keys.required)

    def routes(self) -> RouteFile:
        """The routes as they are now, of all tenants; an empty file where none was published.

        Raises:
            BadInput: the file cannot be read or is not a route file.
            Tampered: it is not the version that the audit log knows.
        """
        return read_routes(self.routes_path, self.routes_seal)

    @property
    def ledger_path(self) -> Path:
        """The ledger of tests (see pipeline.ledger_file)."""
        return self.path / "ledger.sealed"

    @property
    def runs_path(self) -> Path:
        """One folder for each run of the pipeline."""
        return self.path / "runs"

    @property
    def models_path(self) -> Path:
        """Downloaded models, shared by all homes of this user."""
        return models_path()
