"""route: what is served by specialists, and stopping or starting it by hand."""

from __future__ import annotations

import time
from collections.abc import Callable

import click
import msgspec

from deputize.cli.rights import tenant_of
from deputize.cli.terminal import Terminal, pass_terminal
from deputize.core.certificate_age import DAY_S, expired
from deputize.core.errors import BadInput, UsageError
from deputize.core.records import Certificate, Route, RouteFile

CANARY_STEPS = (0.01, 0.05, 0.25, 1.0)
"""Shares of the traffic that a route is promoted through."""


@click.group()
def route() -> None:
    """The routes from tasks to specialists."""


def _read(terminal: Terminal) -> RouteFile:
    """The route file, with the routes that the user of the command may see: those of one tenant where there is one."""
    from deputize.routes_file import read_routes

    file = read_routes(terminal.home.routes_path, terminal.home.routes_seal)
    tenant = tenant_of(terminal)
    if tenant:
        file = msgspec.structs.replace(file, routes=[r for r in file.routes if r.tenant == tenant])
    if not file.generation:
        raise BadInput(f"There are no routes in {terminal.home.path} yet. `deputize convert` publishes them.")
    return file


def _change(terminal: Terminal, route_id: str, action: str, change: Callable[[Route], Route]) -> None:
    from deputize.routes_file import update_routes

    own = [r.id for r in _read(terminal).routes]

    def changed(file: RouteFile) -> RouteFile:
        if route_id not in own or route_id not in {r.id for r in file.routes}:
            known = ", ".join(own) or "none"
            raise BadInput(f"There is no route {route_id!r}; there are: {known}.")
        routes = [change(r) if r.id == route_id else r for r in file.routes]
        return msgspec.structs.replace(file, routes=routes)

    file = update_routes(terminal.home.routes_path, changed, terminal.home.routes_seal)
    after = next(r for r in file.routes if r.id == route_id)
    terminal.home.audit.append(
        f"route.{action}",
        subject=route_id,
        tenant=after.tenant,
        detail={"state": after.state, "share": f"{after.share:g}"},
    )
    terminal.result(_row(after), lambda: terminal.say(f"{after.id} ({after.task_name}) is {_state(after)}."))


def _state(one: Route) -> str:
    return f"{one.state}, {one.share:.0%} of its calls" if one.state == "canary" else one.state


def _row(one: Route) -> dict[str, object]:
    certificate = msgspec.to_builtins(one.certificate) if one.certificate else None
    return {
        "id": one.id,
        "task": one.task_id,
        "task_name": one.task_name,
        "tenant": one.tenant,
        "state": one.state,
        "share": one.share,
        "threshold": one.threshold,
        "specialist": one.specialist,
        "certificate": certificate,
        "uncompared": one.contract.uncompared,
    }


LINKED_BY = {"header": "", "history": "linked by history", "none": "calls counted as independent", "": ""}
"""Evidence for episodes (Certificate.linked_by), in words."""


def _calibrated_on(one: Route) -> str:
    """Facts about the calls behind a certificate that a reader should know."""
    found = one.certificate
    if found is None:
        return "-"
    people = (
        [] if not found.n_people else ["1 person" if found.n_people == 1 else f"{found.n_people:,} people"]
    )
    linked = LINKED_BY[found.linked_by]
    return ", ".join([f"{found.n_calibration:,} units", *people, *([linked] if linked else [])])


def _valid(one: Route, now_s: float) -> str:
    """The day on which a certificate expires, and the calls after which it must be renewed."""
    found = one.certificate
    if found is None:
        return "-"
    if not found.created_s:
        return "not dated"
    parts = []
    if found.renew_after_days:
        end = time.strftime("%Y-%m-%d", time.gmtime(found.created_s + found.renew_after_days * DAY_S))
        parts.append(f"{end}, expired" if expired(found, now_s) else end)
    if found.renew_after_calls:
        parts.append(f"{found.renew_after_calls:,} calls")
    return " or ".join(parts) or "always"


def _detector(certificate: Certificate | None) -> str:
    """The share of requests unlike those trained on that are left to the LLM, as simulated when the route was made."""
    if certificate is None:
        return "-"
    return "no OOD detector" if certificate.ood_power is None else f"{certificate.ood_power:.0%}"


@route.command("list")
@pass_terminal
def list_routes(terminal: Terminal, /) -> None:
    """Every route with its state, threshold and certificate."""
    file = _read(terminal)
    document = {
        "run_id": file.run_id,
        "generation": file.generation,
        "routes": [_row(r) for r in file.routes],
    }
    rows = [
        (
            r.id,
            r.task_name,
            r.tenant,
            _state(r),
            f"{r.threshold:.3f}",
            f"{r.certificate.kind} {r.certificate.epsilon:g}/{r.certificate.delta:g}"
            if r.certificate
            else "none",
            ", ".join(r.contract.uncompared) or "-",
            _calibrated_on(r),
            _valid(r, time.time()),
            _detector(r.certificate),
        )
        for r in file.routes
    ]
    terminal.result(
        document,
        lambda: terminal.table(
            (
                "route",
                "task",
                "tenant",
                "state",
                "threshold",
                "certificate (eps/delta)",
                "not compared",
                "calibrated on",
                "valid until",
                "unlike requests noticed",
            ),
            rows,
        ),
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
@pass_terminal
def promote(terminal: Terminal, /, route_id: str, to: str) -> None:
    """Give a route more of its calls: closed, then 1, 5, 25 and 100 % of them. Needs a certificate.

    For a route that was rolled back, the evidence of its audits begins again.
    """
    from deputize.gateway.evidence_file import forget_evidence

    for one in _read(terminal).routes:
        if one.id == route_id and one.state == "rolled_back":
            forget_evidence(terminal.home.path, one, at_s=time.time())
    _change(terminal, route_id, "promote", lambda r: promoted(r, to))


def promoted(one: Route, to: str) -> Route:
    """The route one step further (or at the step asked for).

    Raises:
        UsageError: it has no certificate, or is live already.
    """
    if one.certificate is None:
        raise UsageError(f"Route {one.id} has no certificate, so it cannot be promoted.")
    if one.state == "live":
        raise UsageError(f"Route {one.id} is live already.")
    now = one.share if one.state == "canary" else 0.0
    share = {"live": 1.0, "canary": CANARY_STEPS[0]}.get(to) or next(s for s in CANARY_STEPS if s > now)
    return msgspec.structs.replace(one, state="live" if share >= 1 else "canary", share=share)


@route.command()
@click.argument("route_id", metavar="ID")
@pass_terminal
def rollback(terminal: Terminal, /, route_id: str) -> None:
    """Send a route's calls back to the LLM because the specialist made errors; it stays so until promoted."""
    _change(
        terminal, route_id, "rollback", lambda r: msgspec.structs.replace(r, state="rolled_back", share=1.0)
    )


@route.command()
@click.argument("route_id", metavar="ID")
@pass_terminal
def close(terminal: Terminal, /, route_id: str) -> None:
    """Send a route's calls to the LLM; new runs leave it closed until it is promoted."""
    _change(terminal, route_id, "close", lambda r: msgspec.structs.replace(r, state="closed", share=1.0))
