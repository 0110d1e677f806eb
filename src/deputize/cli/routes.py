"""route: what is served by specialists, and stopping or starting it by hand."""

from __future__ import annotations

import click

from deputize.cli.ids import whole_id
from deputize.cli.route_views import (
    explain,
    list_routes,
    read_route_file,
    show,
    verify,
)
from deputize.cli.terminal import Terminal, pass_terminal
from deputize.core.errors import BadInput, UsageError
from deputize.core.records import Route, RouteFile
from deputize.operations.route_rows import route_row, state_words

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


def say_route(terminal: Terminal, now: Route) -> None:
    """Says what a route is now."""
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

    The gateway does so by itself when the evidence carries it. For a route that was rolled back, the evidence begins
    again.
    """
    from deputize.operations.route_changes import promote_route

    before = find_route(read_route_file(terminal), route_id, challenger=challenger)
    say_route(terminal, promote_route(terminal.home, before, to, reason))


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
    from deputize.operations.route_changes import restore_previous, roll_back_route

    file = read_route_file(terminal)
    before = find_route(file, route_id, challenger=challenger)
    if to_previous:
        now = restore_previous(terminal.home, file, before, reason)
    else:
        now = roll_back_route(terminal.home, before, reason)
    say_route(terminal, now)


@route.command()
@click.argument("route_id", metavar="ID")
@with_reason
@pass_terminal
def close(terminal: Terminal, /, route_id: str, reason: str) -> None:
    """Send a route's calls to the LLM; new runs leave it closed until it is promoted. A challenger of it is dropped."""
    from deputize.operations.route_changes import close_route

    before = find_route(read_route_file(terminal), route_id)
    say_route(terminal, close_route(terminal.home, before, reason))


@route.command()
@click.argument("route_id", metavar="ID", required=False)
@click.option(
    "--all", "every", is_flag=True, help="All routes that are not closed, those of one run together."
)
@of_challenger
@with_reason
@pass_terminal
def recertify(
    terminal: Terminal, /, route_id: str | None, every: bool, challenger: bool, reason: str
) -> None:
    """Measure a route's certificate again on the engine of [engine]: another one, or another precision, than before.

    Its calibration calls are asked once more, which the ledger charges as a second test on them. Where the claim holds
    the route begins in shadow with the new certificate (a closed one stays closed); else nothing changes and the exit
    code is 1.
    """
    from deputize.operations.route_changes import publish_certificate
    from deputize.pipeline.recertification import recertify as measured

    if every == (route_id is not None) or (every and challenger):
        raise UsageError("Name one route, or --all without --challenger.")
    if route_id is None:
        _recertify_all(terminal, reason)
        return
    before = find_route(read_route_file(terminal), route_id, challenger=challenger)
    with terminal.progress() as progress:
        found = measured(terminal.home, before, progress=progress)
    certificate = found.certificate
    if certificate is None:
        terminal.result(found, lambda: terminal.say(f"Nothing was changed. {found.reason}"))
        raise click.exceptions.Exit(1)
    say_route(terminal, publish_certificate(terminal.home, before, certificate, reason))
    terminal.note(
        f"On {certificate.engine}, before on {found.engine_before or 'another'}: {certificate.claim}"
    )


def _recertify_all(terminal: Terminal, reason: str) -> None:
    """Measures all routes that are not closed, publishes the new certificates, and says what became of each."""
    from deputize.operations.route_changes import publish_certificate
    from deputize.pipeline.recertification import recertify_all

    routes = {r.id: r for r in read_route_file(terminal).routes if r.state != "closed"}
    with terminal.progress() as progress:
        found = recertify_all(terminal.home, list(routes.values()), progress=progress)
    said = []
    for one in found:
        if one.certificate is None:
            said.append(f"{one.route_id}: nothing was changed. {one.reason}")
        else:
            now = publish_certificate(terminal.home, routes[one.route_id], one.certificate, reason)
            said.append(
                f"{now.id} ({now.task_name}) is {state_words(now)}, certified on {one.certificate.engine}."
            )
    terminal.result(found, lambda: terminal.say("\n".join(said) or "No route is open."))
    if any(one.certificate is None for one in found):
        raise click.exceptions.Exit(1)
