"""Changes of a route by hand: promoted, rolled back, closed. Noted in the audit log first, then made."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from msgspec import structs

from deputize.core.certificate_age import expired
from deputize.core.errors import UsageError
from deputize.core.records import Certificate, Route, RouteFile
from deputize.gateway.evidence_file import begin_canary, forget_evidence
from deputize.home import Home
from deputize.pipeline.earlier_routes import unusable_routes
from deputize.pipeline.recertification import on_engine
from deputize.routes_file import update_routes
from deputize.stages.refine.route_life import promoted as file_with


def with_route(file: RouteFile, old: Route, new: Route) -> RouteFile:
    """The file with a route, or a challenger, in place of another."""
    return structs.replace(
        file,
        routes=[new if r == old else r for r in file.routes],
        challengers=[new if r == old else r for r in file.challengers],
    )


def change_route(
    home: Home,
    before: Route,
    action: str,
    change: Callable[[RouteFile], RouteFile],
    now: Route,
    reason: str,
) -> Route:
    """Notes a change of a route in the audit log and makes it; returns the route as it is now.

    The entry comes first: nothing changes without one. It names whom `audit_log.acts_as` does.

    Args:
        home: whose route it is.
        before: the route, or challenger.
        action: for the audit log.
        change: of the route file, with the routes of all tenants.
        now: the route afterwards.
        reason: as given; "": none.

    Raises:
        UsageError: the route is not as given any more.
        BadInput, StoreError, Tampered: the route file or the audit log cannot be read or written.
    """
    detail = {
        "state": now.state,
        "share": f"{now.share:g}",
        "before": f"{before.state} {before.share:g}",
        "specialist": now.specialist,
    }
    if reason:
        detail["reason"] = reason
    home.audit.append(f"route.{action}", subject=before.id, tenant=before.tenant, detail=detail)

    def changed(file: RouteFile) -> RouteFile:
        if before not in (*file.routes, *file.challengers):
            raise UsageError("The route has changed at this moment; nothing was done. Try again.")
        return change(file)

    update_routes(home.routes_path, changed, home.routes_seal)
    return now


def promote_route(home: Home, before: Route, to: str = "next", reason: str = "") -> Route:
    """Gives a route, or a challenger, more of its calls. For one that was rolled back, the evidence begins again.

    Args:
        home: whose route it is.
        before: the route.
        to: next, canary or live.
        reason: for the audit log.

    Raises:
        UsageError: it has no certificate, is live already, or has changed meanwhile.
    """
    now = promoted(before, to, home.route_settings().steps)
    if before.state == "rolled_back":
        forget_evidence(home.path, before, home.evidence_seal, at_s=home.now())
    if now.state == "canary" and before.state != "canary":
        begin_canary(home.path, before, home.evidence_seal)
    change = partial(file_with, route=before, state=now.state, share=now.share)
    return change_route(home, before, "promote", change, now, reason)


def promoted(one: Route, to: str, steps: tuple[float, ...]) -> Route:
    """The route one step further (or at the step asked for).

    Raises:
        UsageError: it has no certificate, or is live already.
    """
    if one.certificate is None:
        raise UsageError(f"Route {one.id} has no certificate, so it cannot be promoted.")
    if one.state == "live":
        raise UsageError(f"Route {one.id} is live already.")
    now = one.share if one.state == "canary" else 0.0
    share = {"live": 1.0, "canary": steps[0]}.get(to) or next(s for s in (*steps, 1.0) if s > now)
    return structs.replace(one, state="live" if share >= 1 else "canary", share=share, shadow=None)


def roll_back_route(home: Home, before: Route, reason: str = "") -> Route:
    """Sends a route's calls back to the LLM; it stays so until promoted. Raises as `change_route`."""
    now = structs.replace(before, state="rolled_back", share=1.0, shadow=None)
    return change_route(home, before, "rollback", lambda file: with_route(file, before, now), now, reason)


def restore_previous(home: Home, file: RouteFile, before: Route, reason: str = "") -> Route:
    """Serves by the version before the present one again.

    Raises:
        UsageError: there is none, or it may not serve any more.
    """
    now = _previous(home, file, before)

    def change(file: RouteFile) -> RouteFile:
        after = with_route(file, before, now)
        return structs.replace(after, previous=[r for r in after.previous if r.id != before.id])

    return change_route(home, before, "rollback", change, now, reason)


def _previous(home: Home, file: RouteFile, one: Route) -> Route:
    """The version before a route, live. Raises UsageError where there is none, or it may not serve any more."""
    found = next((r for r in file.previous if r.id == one.id), None)
    if found is None:
        raise UsageError(f"Route {one.id} has no earlier version that could serve.")
    unusable = unusable_routes(home, RouteFile(run_id="", routes=[found]))
    if found.id in unusable:
        raise UsageError(f"The earlier version of route {one.id} may not serve: {unusable[found.id]}.")
    if found.certificate is None or expired(found.certificate, home.now()):
        raise UsageError(f"The certificate of the earlier version of route {one.id} has expired.")
    return structs.replace(found, state="live", share=1.0, shadow=None)


def close_route(home: Home, before: Route, reason: str = "") -> Route:
    """Sends a route's calls to the LLM; new runs leave it closed. A challenger of it is dropped. Raises as
    `change_route`."""
    now = structs.replace(before, state="closed", share=1.0, shadow=None)

    def change(file: RouteFile) -> RouteFile:
        after = with_route(file, before, now)
        return structs.replace(after, challengers=[r for r in after.challengers if r.id != before.id])

    return change_route(home, before, "close", change, now, reason)


def publish_certificate(home: Home, before: Route, certificate: Certificate, reason: str = "") -> Route:
    """Gives a route the certificate of another engine; what it has earned begins again. Raises as `change_route`."""
    now = on_engine(before, certificate)
    forget_evidence(home.path, now, home.evidence_seal, at_s=home.now())
    return change_route(home, before, "recertify", lambda file: with_route(file, before, now), now, reason)
