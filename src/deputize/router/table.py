"""From a request to its route: two look-ups over what a route file holds. Immutable; a new file means a new table."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from deputize.core.decision_reason import DecisionReason
from deputize.core.errors import BadInput
from deputize.core.records import DEFAULT_TENANT, EVERY_TENANT, Request, Route, RouteFile
from deputize.core.template_key import TemplateKeys


class RouteMatch(NamedTuple):
    """The result of looking a request up."""

    route: Route | None
    reason: DecisionReason = "no_route"
    """Why there is none."""


NO_MATCH, CHANGED = RouteMatch(None), RouteMatch(None, "prompt_changed")


class RouteTable:
    """The routes of one route file, by template key."""

    def __init__(self, file: RouteFile) -> None:
        self.file = file
        # a kept route is found by the lines that it was certified with, not by those of a later run
        keys = {
            run_id: TemplateKeys(spaces)
            for run_id, spaces in {"": file.keyspaces, **file.kept_keyspaces}.items()
        }
        self._keys = keys[""]
        self._of_tenant = {
            tenant: [(keys[id], routes) for id in keys if (routes := _by_key(file, id, tenant))]
            for tenant in {EVERY_TENANT, *(route.tenant for route in file.routes)}
        }

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
        """The route of a tenant's request in whatever state, or why nothing fits it exactly.

        Only routes of the tenant and those that all tenants share are looked at.
        """
        is_changed = False
        for keys, routes in self._of_tenant.get(tenant) or self._of_tenant[EVERY_TENANT]:
            found = keys.match(request)
            route = routes.get(found.key) if found.key else None
            if route is not None:
                return RouteMatch(route)
            is_changed = is_changed or found.is_changed
        return CHANGED if is_changed else NO_MATCH


def _by_key(file: RouteFile, run_id: str, tenant: str) -> dict[str, Route]:
    """The routes that a tenant's calls may take, by the template keys of one run; "": the run of the file."""
    return {
        key: route
        for route in file.routes
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
        ("route id", Counter(("", route.id) for route in file.routes)),
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
