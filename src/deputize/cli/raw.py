"""raw: export of raw text, which needs two people."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from pathlib import Path

import click

from deputize.cli.ids import whole_id
from deputize.cli.terminal import Terminal, pass_terminal
from deputize.core.records import EVERY_TENANT, encode
from deputize.files import new_file
from deputize.store.access.approvals import Approvals, ExportRequest


@click.group()
def raw() -> None:
    """Raw calls leave only when one person asks, another one approves, and the first exports, once, within a day."""


def _approvals(terminal: Terminal) -> Approvals:
    terminal.home.require_keys()
    return terminal.home.approvals


def _say(terminal: Terminal, request: ExportRequest, text: str) -> None:
    terminal.result(request, lambda: terminal.say(text))


@raw.command()
@click.option("--tenant", default="default", show_default=True, help='Whose calls; "*" for all.')
@click.option("--purpose", required=True, help="Reason, shown to the approver.")
@pass_terminal
def ask(terminal: Terminal, /, tenant: str, purpose: str) -> None:
    """Ask for a raw export."""
    made = _approvals(terminal).ask(terminal.actor, tenant=tenant, purpose=purpose)
    _say(terminal, made, f"{made.id} waits for somebody else: deputize raw approve {made.id}")


def _visible(terminal: Terminal, approvals: Approvals) -> list[ExportRequest]:
    """The requests that the user of the command may see: those of one tenant where there is one."""
    tenant = terminal.actor.tenant
    return [r for r in approvals.all() if tenant in (EVERY_TENANT, r.tenant)]


def _whole(terminal: Terminal, approvals: Approvals, given: str) -> str:
    """The id that is meant, or what was given where no visible request begins so: that is refused, and noted, as a
    whole."""
    known = [r.id for r in _visible(terminal, approvals)]
    return whole_id(given, known, "export request") if any(id.startswith(given) for id in known) else given


@raw.command("list")
@pass_terminal
def list_requests(terminal: Terminal, /) -> None:
    """Every request, oldest first."""
    found = _visible(terminal, _approvals(terminal))
    rows = [(r.id, r.asked_by, r.tenant, r.purpose, r.approved_by or None, _day(r.used_at)) for r in found]
    terminal.result(
        found,
        lambda: terminal.table(("request", "asked by", "tenant", "purpose", "approved by", "used"), rows),
    )


def _day(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")


@raw.command()
@click.argument("request_id", metavar="ID")
@pass_terminal
def approve(terminal: Terminal, /, request_id: str) -> None:
    """Approve another person's export request. Its id may be shortened to any beginning that only one has."""
    approvals = _approvals(terminal)
    done = approvals.approve(terminal.actor, _whole(terminal, approvals, request_id))
    _say(terminal, done, f"{done.id} is approved: {done.asked_by} may export once within a day.")


@raw.command()
@click.argument("request_id", metavar="ID")
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="A new file for the calls, as JSONL."
)
@pass_terminal
def export(terminal: Terminal, /, request_id: str, out: Path) -> None:
    """Write the raw calls of an approved request to a file only you can read. Its id may be shortened."""
    from deputize.maintenance.lineage import noted_copy
    from deputize.store.access.raw_export import export_raw

    approvals, home = _approvals(terminal), terminal.home
    request_id = _whole(terminal, approvals, request_id)
    # the file first: an approval must not be used up by a folder that is not there
    with (
        contextlib.closing(home.open_store(audited=False)) as store,
        new_file(out) as file,
        noted_copy(home, out, "raw calls", terminal.actor.name) as ids,
    ):
        for call in export_raw(store, terminal.actor, home.audit, approvals, request_id):
            file.write(encode(call) + b"\n")
            ids.append(call.id)
    terminal.result(
        {"n_calls": len(ids), "path": str(out)}, lambda: terminal.say(f"{len(ids)} raw calls in {out}.")
    )
