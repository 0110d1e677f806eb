"""route list, show, verify and explain: what routes are, what speaks for them, and why a call was answered as it
was."""

from __future__ import annotations

import time
from typing import Any

import click
import msgspec

from deputize.cli.ids import whole_id
from deputize.cli.rights import tenant_of
from deputize.cli.terminal import Terminal, pass_terminal, shortened
from deputize.core.certificate_age import DAY_S, expired
from deputize.core.errors import BadInput
from deputize.core.percentages import percent, whole_percent
from deputize.core.records import DEFAULT_TENANT, Certificate, Contract, Route, RouteFile
from deputize.operations.route_rows import (
    explanation,
    route_history,
    route_row,
    routes_of,
    state_words,
    version_rows,
)
from deputize.store.access.roles import Right, may
from deputize.web.answers import CLAIMS

TASK_CHARS = 18
"""Of a task's name in the table."""


def read_route_file(terminal: Terminal) -> RouteFile:
    """The route file, with the routes that the user of the command may see: those of one tenant where there is one.

    Raises:
        BadInput: there is none yet.
    """
    file = routes_of(terminal.home, tenant_of(terminal))
    if not file.generation:
        url = terminal.home.objects_settings().url
        how = (
            f"Those published in {url} come with the first `deputize serve` or `deputize specialists serve` here."
            if url
            else "`deputize convert` publishes them."
        )
        raise BadInput(f"There are no routes in {terminal.home.path} yet. {how}")
    return file


def _comparison(contract: Contract) -> str:
    """The fields that no comparison looks at, and the texts that need only be close; "-" where there are none."""
    measured = [(f.name, f.measure) for f in contract.fields] + [("", contract.measure)]
    close = [
        "judged, not compared" if measure.name == "judge" else f"{name} only by {measure.in_words()}".strip()
        for name, measure in measured
        if measure is not None
    ]
    return ", ".join([*contract.uncompared, *close]) or "-"


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
    units = f"{found.n_calibration:,} independent calls"
    if found.episodes is not None:
        units = f"{found.n_calibration:,} calls of {found.episodes.n_episodes:,} episodes"
    return ", ".join([units, *people, *([linked] if linked else [])])


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


def _detector(certificate: Certificate) -> str:
    """The share of requests unlike those trained on that are left to the LLM, as simulated when the route was made."""
    if certificate.ood_power is None:
        return "no detector of requests unlike those trained on"
    return f"{whole_percent(certificate.ood_power)} of requests unlike those trained on are left to the LLM"


@click.command("list")
@pass_terminal
def list_routes(terminal: Terminal, /) -> None:
    """Every route with its state, threshold and certificate."""
    file = read_route_file(terminal)
    document = {
        "run_id": file.run_id,
        "generation": file.generation,
        "routes": [route_row(r) for r in file.routes],
        "challengers": [route_row(r) for r in file.challengers],
        "previous": [route_row(r) for r in file.previous],
    }
    shown = [*file.routes, *file.challengers]

    def show() -> None:
        heads = ("route", "task", "state", "threshold", "loss at most")
        terminal.table(heads, [_list_row(r, is_challenger=r in file.challengers) for r in shown])
        for one in shown:
            terminal.say(_list_note(one, time.time()))

    terminal.result(document, show)


def _list_row(one: Route, *, is_challenger: bool) -> tuple[str, ...]:
    """The cells of a route that fit on 80 columns."""
    loss = "none certified" if one.certificate is None else f"{100 * one.certificate.epsilon:g} %"
    id = one.id + (" (challenger)" if is_challenger else "")
    return (
        id,
        shortened(one.task_name, TASK_CHARS),
        state_words(one).removesuffix(" of its calls"),
        f"{one.threshold:.3f}",
        loss,
    )


def _list_note(one: Route, now_s: float) -> str:
    """The rest that is known of a route, as a sentence."""
    whose = "" if one.tenant == DEFAULT_TENANT else f"tenant {one.tenant}; "
    if one.certificate is None:
        return f"{one.id}: {whose}not certified."
    found, about = one.certificate, _comparison(one.contract)
    claim = CLAIMS[found.kind].format(f"{100 * found.epsilon:g} %")
    return (
        f"{one.id}: {whose}certified {claim} ({100 * (1 - found.delta):g} % confidence) on {_calibrated_on(one)}; valid until"
        f" {_valid(one, now_s)};{'' if about == '-' else f' not compared: {about};'} {_detector(found)}."
    )


@click.command()
@click.argument("route_id", metavar="ID")
@pass_terminal
def show(terminal: Terminal, /, route_id: str) -> None:
    """One route: its claim, the evidence of its calls, its versions, and what was done to it."""
    file = read_route_file(terminal)
    id = whole_id(route_id, (r.id for r in file.routes), "route")
    rows, notes = version_rows(terminal.home, file, id)
    is_readable = may(terminal.actor, Right.READ_AUDIT) and (terminal.home.path / "audit.log").exists()
    history = route_history(terminal.home, id) if is_readable else []
    document = {"id": id, "versions": rows, "notes": notes, "history": history}

    def write() -> None:
        for row in rows:
            _say_version(terminal, row)
        for note in notes:
            terminal.say(f"{note}.")
        if history:
            heads = ("when", "who", "what", "evidence or reason")
            terminal.table(heads, [(h["at"], h["actor"], h["action"], h["detail"]) for h in history])

    terminal.result(document, write)


def _say_version(terminal: Terminal, row: dict[str, Any]) -> None:
    certificate = row["certificate"]
    share = f", {whole_percent(row['share'])} of its calls" if row["state"] == "canary" else ""
    if row["role"] == "previous":
        terminal.say(f"{row['id']}: the version before was {row['specialist']}.")
        return
    terminal.say(f"{row['id']} ({row['task_name']}), {row['role']}: {row['state']}{share}.")
    terminal.say(f"  specialist {row['specialist']}, served from confidence {row['threshold']:.4f}")
    terminal.say(f"  {certificate['claim'] if certificate else 'no certificate'}")
    terminal.say(f"  compared with the LLM: {row['n_compared']:,} calls, {row['n_differed']:,} differed")
    if row["next"] and row["n_episodes_open"]:
        terminal.say(
            f"  {row['n_episodes_open']:,} episodes wait: they count toward the next step once they, and those that began "
            "before them, have ended"
        )
    if row["next"]:
        step = row["next"]
        to = f"{step['to']} {whole_percent(step['share'])}" if step["to"] == "canary" else step["to"]
        terminal.say(
            f"  next: {to}, at an e-value of {step['wanted']}; now {step['e_value']} by {step['compared']} calls, of which "
            f"{step['differed']} differed ({percent(float(step['allowed']))} allowed)"
        )


@click.command()
@click.argument("route_id", metavar="ID")
@click.option("--challenger", is_flag=True, help="The certificate of the route's challenger.")
@pass_terminal
def verify(terminal: Terminal, /, route_id: str, challenger: bool) -> None:
    """Compute a route's certificate again from its sealed run and the store, and say what differs.

    Its specialist is asked the calibration calls once more. Exit code 1 where something differs, 0 where all that can
    be computed is equal.
    """
    from deputize.pipeline.certificate_check import check_certificate, summary_of

    file = read_route_file(terminal)
    id = whole_id(route_id, (r.id for r in file.routes), "route")
    one = next((r for r in (file.challengers if challenger else file.routes) if r.id == id), None)
    if one is None:
        raise BadInput(f"Route {id} has no challenger.")
    with terminal.progress() as progress:
        found = check_certificate(terminal.home, one, progress=progress)
    document = {**msgspec.to_builtins(found), "equal": found.is_equal, "summary": summary_of(found)}
    terminal.result(document, lambda: terminal.say(summary_of(found)))
    if found.differences:
        raise click.exceptions.Exit(1)


@click.command()
@click.argument("call_id", metavar="CALL_ID")
@pass_terminal
def explain(terminal: Terminal, /, call_id: str) -> None:
    """Say why a call was answered by the model that it was (its id: x-deputize-request-id). Shows no text of it.

    The id may be shortened to any beginning that only one call has.
    """
    store = terminal.home.store
    (call,) = store.get([call_id])
    if call is None and call_id:
        known = [c.id for c in store.calls(tenant=tenant_of(terminal) or None) if c.id.startswith(call_id)]
        if known := [id for id in known if not id.endswith("-audit")]:  # an audit goes by the id of its call
            call_id = whole_id(call_id, known, "call")
            (call,) = store.get([call_id])
    (audit,) = store.get([f"{call_id}-audit"])
    if call is None:
        raise BadInput(
            f"There is no call {call_id!r} in {terminal.home.path}, or it cannot be read any more."
        )
    decision, lines = explanation(terminal.home, call, audit)
    document = {"call_id": call_id, "decision": decision, "lines": lines}
    terminal.result(document, lambda: terminal.say("\n".join(lines)))
