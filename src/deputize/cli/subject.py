"""subject: what is stored of one person, for that person; and the record of what is done with personal data."""

from __future__ import annotations

import os
from pathlib import Path

import click
import msgspec

from deputize.cli.rights import tenant_of
from deputize.cli.terminal import Terminal, pass_terminal
from deputize.core.errors import BadInput
from deputize.core.records import DEFAULT_TENANT


@click.group()
def subject() -> None:
    """The rights of the people whose data the calls hold."""


@subject.command("export")
@click.option("--origin", required=True, metavar="ID", help="Who asked, as it was sent (not the pseudonym).")
@click.option("--tenant", default=DEFAULT_TENANT, show_default=True, metavar="NAME", help="Whose calls.")
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, metavar="FILE", help="A new file, as JSON."
)
@pass_terminal
def export_subject(terminal: Terminal, /, origin: str, tenant: str, out: Path) -> None:
    """Write everything stored of one person into a file only you can read (GDPR, article 15).

    Their calls as they were sent, the steps of their runs that name nobody, kept conversations, and the specialists
    that were trained on the calls. Where others have words in a conversation or a run too, what may be theirs is left
    out and counted. It goes into the audit log, and an erasure names the file.
    """
    from deputize.maintenance.subject_export import export_subject

    whose = tenant_of(terminal, tenant)
    terminal.home.require_keys()
    found = export_subject(terminal.home, terminal.actor, origin, out, tenant=whose)
    document = {
        "tenant": whose,
        "origin": found.origin,
        "n_calls": len(found.calls),
        "n_conversations": len(found.conversations),
        "n_shared": found.n_shared,
        "path": str(out),
    }
    others = f" {found.n_shared} in which others have words too are left out." if found.n_shared else ""
    terminal.result(
        document,
        lambda: terminal.say(
            f"{len(found.calls)} calls and {len(found.conversations)} conversations in {out}.{others} Calls of others that only "
            "mention the person are not among them: `deputize erase --find TEXT --dry-run` counts those."
        ),
    )


@subject.command("record")
@click.option(
    "--out", type=click.Path(path_type=Path), metavar="FILE", help="A new file; by default it is printed."
)
@pass_terminal
def show_record(terminal: Terminal, /, out: Path | None) -> None:
    """The record of processing of this home, as Markdown (GDPR, article 30), from config.toml and what is stored.

    [processing] in config.toml says what no program knows: controller, contact, purposes, legal_basis, transfers.
    """
    from deputize.maintenance.processing_record import as_markdown, processing_record

    record = processing_record(terminal.home)
    text = as_markdown(record)
    if out is not None:
        try:
            with os.fdopen(os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(text)
        except OSError as error:
            raise BadInput(f"{out} cannot be made: {error.strerror}.") from error
    terminal.result(
        msgspec.to_builtins(record), lambda: terminal.say(text if out is None else f"Written to {out}.")
    )
