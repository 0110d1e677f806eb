"""The evidence of a home's routes on disk; whoever changes it holds the lock of the file.

HOME/audit_evidence.json   one entry for each route and specialist, shared by all processes; numbers only

The file carries a MAC of the home's keys and a count of its writes, so that nobody earns a promotion, or hides a route
that goes bad, with a file of their own or an older one (store.access.generations.EvidenceSeal).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import msgspec
from msgspec import structs

from deputize.core.errors import BadInput
from deputize.core.records import Record, Route
from deputize.files import locked, write_atomic
from deputize.stages.refine.route_evidence import RouteEvidence, evidence_for, new_evidence
from deputize.stages.refine.route_life import entered_canary
from deputize.store.access.audit_log import AuditEntry
from deputize.store.access.generations import EvidenceSeal

EVIDENCE_FILE = "audit_evidence.json"

EvidenceKey = tuple[str, str]
"""(id of a route, folder of its specialist)"""


class EvidenceFile(Record):
    """HOME/audit_evidence.json."""

    routes: list[RouteEvidence] = msgspec.field(default_factory=list)
    version: int = 1
    n_writes: int = 0
    """Of this home so far; grows with each."""
    mac: str = ""
    """Of the rest; "": written without a seal."""

    def by_key(self) -> dict[EvidenceKey, RouteEvidence]:
        """The evidence of each route and specialist."""
        return {(e.route_id, e.specialist): e for e in self.routes}


class AppendsToAuditLog(Protocol):
    def append(
        self, action: str, *, actor: str = "", subject: str = "", detail: dict[str, str] | None = None
    ) -> AuditEntry: ...


def read_evidence(home: Path, seal: EvidenceSeal | None) -> dict[EvidenceKey, RouteEvidence]:
    """The evidence of a home's routes; {} where there is none yet.

    Args:
        home: the home folder.
        seal: of the home; None where it has none: neither the MAC nor the age of the file is looked at.

    Raises:
        BadInput: the file cannot be read.
        Tampered: it was written by another program, is an older copy, or is missing although there was one.
    """
    path = home / EVIDENCE_FILE
    newest = seal.newest() if seal is not None else 0  # not after: others write while this is read
    try:
        file = msgspec.json.decode(path.read_bytes(), type=EvidenceFile)
    except FileNotFoundError:
        if seal is not None:
            seal.check_missing(newest)
        return {}
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadInput(
            f"{path} cannot be read ({error}); delete it to begin the evidence of all routes again."
        ) from error
    if seal is not None:
        seal.check(_unsigned(file), file.mac, file.n_writes, newest)
    return file.by_key()


def write_evidence(home: Path, known: Mapping[EvidenceKey, RouteEvidence], seal: EvidenceSeal | None) -> None:
    """Replaces the evidence; whoever reads it before holds the lock of the file. Raises StoreError."""
    file = EvidenceFile(routes=list(known.values()))
    if seal is not None:
        file = structs.replace(file, n_writes=seal.next_write())
        file = structs.replace(file, mac=seal.mac(_unsigned(file)))
    write_atomic(home / EVIDENCE_FILE, msgspec.json.encode(file))
    if seal is not None:
        seal.note(file.n_writes)


def _unsigned(file: EvidenceFile) -> bytes:
    return msgspec.json.encode(structs.replace(file, mac=""))


def forget_evidence(home: Path, route: Route, seal: EvidenceSeal | None, *, at_s: float) -> None:
    """Begins the evidence of a route again: calls before `at_s` (Unix seconds) do not count. For a promotion by hand.

    Raises:
        BadInput, Tampered, StoreError: the file cannot be read or written.
    """
    path = home / EVIDENCE_FILE
    with locked(path):
        known = read_evidence(home, seal)
        known[(route.id, route.specialist)] = structs.replace(new_evidence(route), since_s=at_s)
        write_evidence(home, known, seal)


def begin_canary(home: Path, route: Route, seal: EvidenceSeal | None) -> None:
    """Has the evidence of a canary count from now on. For a promotion by hand.

    Raises:
        BadInput, Tampered, StoreError: the file cannot be read or written.
    """
    key = (route.id, route.specialist)
    with locked(home / EVIDENCE_FILE):
        known = read_evidence(home, seal)
        known[key] = entered_canary(evidence_for(route, known.get(key)) or new_evidence(route))
        write_evidence(home, known, seal)
