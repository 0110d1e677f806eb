"""The evidence of a home's routes on disk; whoever changes it holds the lock of the file.

HOME/audit_evidence.json   one entry for each route and specialist, shared by all processes; numbers only
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

EVIDENCE_FILE = "audit_evidence.json"

EvidenceKey = tuple[str, str]
"""(id of a route, folder of its specialist)"""


class EvidenceFile(Record):
    """HOME/audit_evidence.json."""

    routes: list[RouteEvidence] = msgspec.field(default_factory=list)
    version: int = 1

    def by_key(self) -> dict[EvidenceKey, RouteEvidence]:
        """The evidence of each route and specialist."""
        return {(e.route_id, e.specialist): e for e in self.routes}


class AppendsToAuditLog(Protocol):
    def append(
        self, action: str, *, actor: str = "", subject: str = "", detail: dict[str, str] | None = None
    ) -> AuditEntry: ...


def read_evidence(home: Path) -> dict[EvidenceKey, RouteEvidence]:
    """The evidence of a home's routes; {} where there is none yet.

    Raises:
        BadInput: the file cannot be read.
    """
    path = home / EVIDENCE_FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=EvidenceFile).by_key()
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadInput(
            f"{path} cannot be read ({error}); delete it to begin the evidence of all routes again."
        ) from error


def write_evidence(home: Path, known: Mapping[EvidenceKey, RouteEvidence]) -> None:
    """Replaces the evidence; whoever reads it before holds the lock of the file. Raises StoreError."""
    file = EvidenceFile(routes=list(known.values()))
    write_atomic(home / EVIDENCE_FILE, msgspec.json.encode(file))


def forget_evidence(home: Path, route: Route, *, at_s: float) -> None:
    """Begins the evidence of a route again: calls before `at_s` (Unix seconds) do not count. For a promotion by hand.

    Raises:
        BadInput, StoreError: the file cannot be read or written.
    """
    path = home / EVIDENCE_FILE
    with locked(path):
        known = read_evidence(home)
        known[(route.id, route.specialist)] = structs.replace(new_evidence(route), since_s=at_s)
        write_evidence(home, known)


def begin_canary(home: Path, route: Route) -> None:
    """Has the evidence of a canary count from now on. For a promotion by hand.

    Raises:
        BadInput, StoreError: the file cannot be read or written.
    """
    key = (route.id, route.specialist)
    with locked(home / EVIDENCE_FILE):
        known = read_evidence(home)
        known[key] = entered_canary(evidence_for(route, known.get(key)) or new_evidence(route))
        write_evidence(home, known)
