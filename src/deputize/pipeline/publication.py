"""The route file after a run: how new specialists come into service alongside those that serve.

A new specialist for a task that nothing serves yet begins as `[routes] start` says. Where one serves, the new one is
its challenger until its own calls have carried it to live (gateway.promotion); then the older one is kept for one step
back.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from msgspec import structs

from deputize.core.contracts import measures_of
from deputize.core.earlier_route import EarlierRoute
from deputize.core.errors import BadInput, Tampered
from deputize.core.records import DEFAULT_TENANT, Route, RouteFile
from deputize.pipeline.earlier_routes import left_alone, others_of
from deputize.routes_file import update_routes, write_routes
from deputize.stages.refine.route_life import is_serving, same_task

if TYPE_CHECKING:
    from deputize.home import Home

Start = Literal["shadow", "canary", "live"]


def publish_routes(
    home: Home,
    fresh: RouteFile,
    earlier: Sequence[EarlierRoute],
    outdated: Mapping[str, str] = MappingProxyType({}),
    *,
    tenant: str = DEFAULT_TENANT,
    shared_stay: bool = False,
) -> RouteFile:
    """Publishes the routes of a run as the settings of the home say, and notes it in the audit log.

    A route file that is damaged is replaced.

    Args:
        home: the home.
        fresh: routes of the run.
        earlier: what becomes of published routes without a successor.
        outdated: ids of published routes with a successor that may not serve beside it, and why.
        tenant: whose run; routes of others stay as they are.
        shared_stay: False where tenants do not share specialists any more.

    Returns:
        The route file in force.

    Raises:
        StoreError: the route file or the audit log cannot be written.
    """
    life, run_id = home.route_settings(), fresh.run_id
    closed = {one.route_id: (one.specialist, one.reason) for one in earlier if not one.kept}

    def change(old: RouteFile) -> RouteFile:
        others, unshared = others_of(old, tenant, shared_stay=shared_stay)
        why = "specialists are not shared across tenants any more"
        closed.update({route.id: (route.specialist, why) for route in unshared})
        kept = [*earlier, *map(left_alone, others)]
        start, share = life.start, life.steps[0]
        return published(old, fresh, kept, outdated=outdated, start=start, first_share=share)

    try:
        written = update_routes(home.routes_path, change, home.routes_seal)
    except (BadInput, Tampered):
        # which routes a person had closed is not known any more, so all begin in shadow
        written = write_routes(home.routes_path, published(RouteFile(run_id=""), fresh, []), home.routes_seal)
    present = {route.id: route.specialist for route in written.routes}
    for route in (*written.routes, *written.challengers):
        if route.run_id:
            continue  # as it was
        detail = {"state": route.state, "specialist": route.specialist, "run": run_id}
        if route in written.challengers:
            detail["challenges"] = present[route.id]
        home.audit.append("route.publish", subject=route.id, tenant=route.tenant, detail=detail)
    for route_id, (specialist, reason) in closed.items():
        detail = {"specialist": specialist, "run": run_id, "because": reason}
        home.audit.append("route.close", subject=route_id, tenant=tenant, detail=detail)
    for route_id, reason in outdated.items():
        detail = {"run": run_id, "because": reason}
        home.audit.append("route.replace", subject=route_id, tenant=tenant, detail=detail)
    return written


def published(
    old: RouteFile,
    fresh: RouteFile,
    earlier: Sequence[EarlierRoute],
    *,
    outdated: Collection[str] = (),
    start: Start = "shadow",
    first_share: float = 0.01,
) -> RouteFile:
    """The route file that a run leaves.

    Args:
        old: in force.
        fresh: routes of the run, in whatever state.
        earlier: what becomes of old routes without a successor.
        outdated: ids of old routes with a successor that may not serve alongside it: something speaks against them.
        start: the state in which a new specialist begins.
        first_share: of a canary.
    """
    old = _with_run_ids(old)
    found = RouteFile(run_id=fresh.run_id, keyspaces=fresh.keyspaces, routes=[])
    routes: list[Route] = []
    challengers: list[Route] = []
    previous: list[Route] = []
    for new in fresh.routes:
        was = next((r for r in old.routes if same_task(r, new)), None)
        before = next((r for r in old.challengers if _is_same(r, new)), None)
        serves = was is not None and is_serving(was) and was.id not in outdated
        if before is not None and serves and was is not None:  # the same run, published again
            routes.append(was)
            challengers.append(_as(new, before))
        elif was is None:
            routes.append(begun(new, start, first_share))
        elif _is_same(was, new) or was.state == "closed":
            routes.append(_as(new, was))
        elif was.specialist == new.specialist:
            # answers are compared otherwise now: nothing has been earned by that
            routes.append(begun(new, "shadow" if was.state == "rolled_back" else start, first_share))
        elif serves and start != "live":
            routes.append(was)
            challengers.append(begun(structs.replace(new, id=was.id), start, first_share))
        else:
            # what was rolled back has to be earned again
            routes.append(begun(new, "shadow" if was.state == "rolled_back" else start, first_share))
            if serves:
                previous.append(structs.replace(was, id=new.id))
    return _with_the_rest(found, old, routes, challengers, previous, earlier)


def _with_the_rest(
    file: RouteFile,
    old: RouteFile,
    routes: list[Route],
    challengers: list[Route],
    previous: list[Route],
    earlier: Sequence[EarlierRoute],
) -> RouteFile:
    """The file with these routes and what stays of the old one alongside them."""
    keep = {one.route_id: one.specialist for one in earlier if one.kept}
    routes = [*routes, *_of_other_tasks((r for r in old.routes if keep.get(r.id) == r.specialist), routes)]
    serving = {r.id for r in routes if is_serving(r)}
    challengers = [
        *challengers,
        *_of_other_tasks((r for r in old.challengers if r.id in serving), challengers),
    ]
    ids = {r.id for r in routes}
    previous = [*previous, *_of_other_tasks((r for r in old.previous if r.id in ids), previous)]
    wanted = {r.run_id for r in (*routes, *challengers, *previous)} - {""}
    return structs.replace(
        file,
        routes=routes,
        challengers=challengers,
        previous=previous,
        kept_keyspaces={id: spaces for id, spaces in old.kept_keyspaces.items() if id in wanted},
        generation=old.generation,
    )


def _of_other_tasks(routes: Iterable[Route], than: Sequence[Route]) -> list[Route]:
    return [r for r in routes if not any(same_task(r, one) for one in than)]


def begun(route: Route, start: Start, first_share: float) -> Route:
    """A new route in its first state."""
    share = {"shadow": 1.0, "canary": first_share, "live": 1.0}[start]
    return structs.replace(route, state=start, share=share)


def _is_same(old: Route, new: Route) -> bool:
    """True where a route has the specialist of another one and answers are compared in the same way."""
    return old.specialist == new.specialist and measures_of(old.contract) == measures_of(new.contract)


def _as(new: Route, was: Route) -> Route:
    """A route in the state of another one, a challenger under its id."""
    return structs.replace(new, id=was.id, state=was.state, share=was.share, shadow=was.shadow)


def _with_run_ids(file: RouteFile) -> RouteFile:
    """The file with all routes under the name of the run whose key spaces they have."""

    def named(routes: Sequence[Route]) -> list[Route]:
        return [structs.replace(route, run_id=route.run_id or file.run_id) for route in routes]

    return structs.replace(
        file,
        routes=named(file.routes),
        challengers=named(file.challengers),
        previous=named(file.previous),
        kept_keyspaces={file.run_id: file.keyspaces, **file.kept_keyspaces},
    )
