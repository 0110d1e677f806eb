"""From a request to its route: two look-ups over what a route file holds. Immutable; a new file means a new table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeAlias

from deputize.core.decision_reason import DecisionReason
from deputize.core.errors import BadInput
from deputize.core.records import DEFAULT_TENANT, EVERY_TENANT, Request, Route, RouteFile
from deputize.core.template_key import TemplateKeys


class RouteMatch(NamedTuple):
    """The result of looking a request up."""

    route: Route | None
    reason: DecisionReason = "no_route"
    """Why there is none."""
    challenger: Route | None = None
    """A new version that may take the place of `route`."""
    nearest: Route | None = None
    """The route that it would have but for the limits of what varies in its prompt."""


NO_MATCH = RouteMatch(None)


class RouteTable:
    """The routes of one route file, by template key."""

    def __init__(self, file: RouteFile) -> None:
        self.file = file
        # a route of an earlier run is found by the lines that it was certified with, not by those of a later run
        keys = {
            run_id: TemplateKeys(spaces)
            for run_id, spaces in {"": file.keyspaces, **file.kept_keyspaces}.items()
        }
        self._keys = keys[""]
        tenants = {EVERY_TENANT, *(route.tenant for route in (*file.routes, *file.challengers))}
        self._of_tenant = {tenant: _by_run(file, keys, tenant) for tenant in tenants}

    @classmethod
    def build(cls, file: RouteFile) -> RouteTable:
        """The table of a route file.

        Raises:
            BadInput: two routes claim one template key, or two key spaces one signature.
        """
        check(file)
        return cls(file)

    @property
    def generation(self) -> int:
        """Grows with every version of the file; 0 where there is none."""
        return self.file.generation

    @property
    def routes(self) -> list[Route]:
        return self.file.routes

    def key(self, request: Request) -> str:
        """The template key of a request, '' where its signature is unknown or its prompt has changed."""
        return self._keys.key(request)

    def match(self, request: Request, tenant: str = DEFAULT_TENANT) -> RouteMatch:
        """The route of a tenant's request in whatever state and its challenger, or why nothing fits it exactly.

        Only routes of the tenant and those that all tenants share are looked at.
        """
        route = challenger = None
        is_changed = False
        nearest: Route | None = None
        for keys, routes, challengers in self._of_tenant.get(tenant) or self._of_tenant[EVERY_TENANT]:
            if route is not None and (challenger is not None or not challengers):
                continue
            found = keys.match(request)
            is_changed = is_changed or found.is_changed
            nearest = nearest or routes.get(found.closest)
            if found.key:
                route = route or routes.get(found.key)
                challenger = challenger or challengers.get(found.key)
        if route is None and challenger is None:
            return RouteMatch(None, "prompt_changed", nearest=nearest) if is_changed else NO_MATCH
        return RouteMatch(route, challenger=challenger)


_ByKey: TypeAlias = dict[str, Route]


def _by_run(
    file: RouteFile, keys: Mapping[str, TemplateKeys], tenant: str
) -> list[tuple[TemplateKeys, _ByKey, _ByKey]]:
    """(template keys, routes, challengers) of each run that has any for a tenant."""
    found = [
        (keys[id], _by_key(file.routes, id, tenant), _by_key(file.challengers, id, tenant)) for id in keys
    ]
    return [one for one in found if one[1] or one[2]]


def _by_key(routes: Iterable[Route], run_id: str, tenant: str) -> _ByKey:
    """The routes that a tenant's calls may take, by the template keys of one run; "": the run of the file."""
    return {
        key: route
        for route in routes
        if route.run_id == run_id and route.tenant in (tenant, EVERY_TENANT)
        for key in route.keys
    }


def check(file: RouteFile) -> None:
    """Sees to it that no request can have two routes.

    Raises:
        BadInput: two routes claim one template key, or two key spaces one signature.
    """
    for what, counts in (
        ("template key", Counter((r.run_id, key) for r in file.routes for key in set(r.keys))),
        ("template key", Counter((r.run_id, key) for r in file.challengers for key in set(r.keys))),
        ("route id", Counter(("", route.id) for route in file.routes)),
        ("challenger", Counter(("", route.id) for route in file.challengers)),
        (
            "signature",
            Counter(
                (run_id, space.signature)
                for run_id, spaces in {"": file.keyspaces, **file.kept_keyspaces}.items()
                for space in spaces
            ),
        ),
    ):
        twice = [name for (_, name), n in counts.items() if n > 1]
        if twice:
            raise BadInput(f"The route file uses the {what} {twice[0]} twice; each may be there once.")
