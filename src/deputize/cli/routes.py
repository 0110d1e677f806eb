"""route: what is served by specialists, and stopping or starting it by hand."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import click
from msgspec import structs

from deputize.cli.ids import whole_id
from deputize.cli.route_views import (
    explain,
    list_routes,
    read_route_file,
    route_row,
    show,
    state_words,
    verify,
)
from deputize.cli.terminal import Terminal, pass_terminal
from deputize.core.errors import BadInput, UsageError
from deputize.core.records import Route, RouteFile

with_reason = click.option("--reason", default="", metavar="TEXT", help="Why; it is kept in the audit log.")
of_challenger = click.option(
    "--challenger", is_flag=True, help="The new version that challenges the route, not the one that serves."
)


@click.group()
def route() -> None:
    """The routes from tasks to specialists. An ID may be shortened to any beginning that only one route has."""


for command in (list_routes, show, verify, explain):
    route.add_command(command)


def find_route(file: RouteFile, given: str, *, challenger: bool = False) -> Route:
    """The route that is meant. Raises BadInput where there is none."""
    id = whole_id(given, (r.id for r in file.routes), "route")
    if not challenger:
        return next(r for r in file.routes if r.id == id)
    found = next((r for r in file.challengers if r.id == id), None)
    if found is None:
        raise BadInput(f"Route {id} has no challenger.")
    return found


def with_route(file: RouteFile, old: Route, new: Route) -> RouteFile:
    """The file with a route, or a challenger, in place of another."""
    return structs.replace(
        file,
        routes=[new if r == old else r for r in file.routes],
        challengers=[new if r == old else r for r in file.challengers],
    )


def change_route(
    terminal: Terminal,
    before: Route,
    action: str,
    change: Callable[[RouteFile], RouteFile],
    now: Route,
    reason: str,
) -> None:
    """Notes a change of a route in the audit log, makes it, and says what the route is now.

    The entry comes first: nothing changes without one.

    Args:
        terminal: of the command.
        before: the route, or challenger.
        action: for the audit log.
        change: of the route file, with the routes of all tenants.
        now: the route afterwards.
        reason: as given; "": none.
    """
    from deputize.routes_file import update_routes

    detail = {
        "state": now.state,
        "share": f"{now.share:g}",
        "before": f"{before.state} {before.share:g}",
        "specialist": now.specialist,
    }
    if reason:
        detail["reason"] = reason
    terminal.home.audit.append(f"route.{action}", subject=before.id, tenant=before.tenant, detail=detail)

    def changed(file: RouteFile) -> RouteFile:
        if before not in (*file.routes, *file.challengers):
            raise UsageError("The route has changed at this moment; nothing was done. Try again.")
        return change(file)

    update_routes(terminal.home.routes_path, changed, terminal.home.routes_seal)
    terminal.result(
        route_row(now), lambda: terminal.say(f"{now.id} ({now.task_name}) is {state_words(now)}.")
    )


@route.command()
@click.argument("route_id", metavar="ID")
@click.option(
    "--to",
    type=click.Choice(["next", "canary", "live"]),
    default="next",
    show_default=True,
    help="One step, the first canary step, or everything.",
)
@of_challenger
@with_reason
@pass_terminal
def promote(terminal: Terminal, /, route_id: str, to: str, challenger: bool, reason: str) -> None:
    """Give a route more of its calls: closed, then 1, 5, 25 and 100 % of them. Needs a certificate.

    The gateway does so by itself when the evidence carries it. For a route that was rolled back, the evidence begins again.
    """
    from deputize.gateway.evidence_file import begin_canary, forget_evidence
    from deputize.stages.refine.route_life import promoted as file_with

    file = read_route_file(terminal)
    before = find_route(file, route_id, challenger=challenger)
    now = promoted(before, to, terminal.home.route_settings().steps)
    if before.state == "rolled_back":
        forget_evidence(terminal.home.path, before, terminal.home.evidence_seal, at_s=time.time())
    if now.state == "canary" and before.state != "canary":
        begin_canary(terminal.home.path, before, terminal.home.evidence_seal)
    change = partial(file_with, route=before, state=now.state, share=now.share)
    change_route(terminal, before, "promote", change, now, reason)


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


@route.command()
@click.argument("route_id", metavar="ID")
@click.option("--to-previous", is_flag=True, help="Serve by the version before the present one again.")
@of_challenger
@with_reason
@pass_terminal
def rollback(terminal: Terminal, /, route_id: str, to_previous: bool, challenger: bool, reason: str) -> None:
    """Send a route's calls back to the LLM because the specialist did wrong; it stays so until promoted.

    A later run's specialist begins in shadow.
    """
    file = read_route_file(terminal)
    before = find_route(file, route_id, challenger=challenger)
    if to_previous:
        now = _previous(terminal, file, before)
    else:
        now = structs.replace(before, state="rolled_back", share=1.0, shadow=None)

    def change(file: RouteFile) -> RouteFile:
        after = with_route(file, before, now)
        if to_previous:
            after = structs.replace(after, previous=[r for r in after.previous if r.id != before.id])
        return after

    change_route(terminal, before, "rollback", change, now, reason)


def _previous(terminal: Terminal, file: RouteFile, one: Route) -> Route:
    """The version before a route, live. Raises UsageError where there is none, or it may not serve any more."""
    from deputize.core.certificate_age import expired
    from deputize.pipeline.earlier_routes import unusable_routes

    found = next((r for r in file.previous if r.id == one.id), None)
    if found is None:
        raise UsageError(f"Route {one.id} has no earlier version that could serve.")
    unusable = unusable_routes(terminal.home, RouteFile(run_id="", routes=[found]))
    if found.id in unusable:
        raise UsageError(f"The earlier version of route {one.id} may not serve: {unusable[found.id]}.")
    if found.certificate is None or expired(found.certificate, time.time()):
        raise UsageError(f"The certificate of the earlier version of route {one.id} has expired.")
    return structs.replace(found, state="live", share=1.0, shadow=None)


@route.command()
@click.argument("route_id", metavar="ID")
@with_reason
@pass_terminal
def close(terminal: Terminal, /, route_id: str, reason: str) -> None:
    """Send a route's calls to the LLM; new runs leave it closed until it is promoted. A challenger of it is dropped."""
    file = read_route_file(terminal)
    before = find_route(file, route_id)
    now = structs.replace(before, state="closed", share=1.0, shadow=None)

    def change(file: RouteFile) -> RouteFile:
        after = with_route(file, before, now)
        return structs.replace(after, challengers=[r for r in after.challengers if r.id != before.id])

    change_route(terminal, before, "close", change, now, reason)
