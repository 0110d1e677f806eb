"""Routes whose certificate must be renewed: by its age, or by the calls that have come since it was made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from deputize.core.certificate_age import renewal
from deputize.core.records import Route
from deputize.stages.refine.decisions import WatchedCall


def to_renew(calls: Sequence[WatchedCall], routes: Sequence[Route], now_s: float) -> list[str]:
    """One sentence for each route that is open or would be, and whose certificate must be renewed.

    Args:
        calls: recorded calls.
        routes: of the route file.
        now_s: Unix seconds.
    """
    certificates = {
        r.id: r.certificate for r in routes if r.certificate and r.state in ("live", "canary", "shadow")
    }
    n_since: Counter[str] = Counter()
    for call in calls:
        certificate = certificates.get(call.decision.route_id)
        if certificate is not None and call.at_s >= certificate.created_s and not call.decision.audit_of:
            n_since[call.decision.route_id] += 1
    return [
        f"{route.id} ({route.task_name}): {why}"
        for route in routes
        if (certificate := certificates.get(route.id)) is not None
        and (why := renewal(certificate, now_s, n_since[route.id]))
    ]
