"""import and erase: what goes into the store, and what must leave it."""

from __future__ import annotations

from pathlib import Path

import click

from deputize.cli.terminal import Terminal, pass_terminal

_SHOWN = 5


@click.command("import")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option("--format", "log_format", default="auto", show_default=True, help="Form of the logs.")
@click.option("--agent", default="", help="Name the calls' agent where the log has none.")
@pass_terminal
def import_(terminal: Terminal, /, paths: tuple[Path, ...], log_format: str, agent: str) -> None:
    """Read logs of LLM calls (JSONL, plain or .gz; folders too) into the encrypted store."""
    from deputize.stages.collect.importers import import_paths
    from deputize.store.keys import KeyRing
    from deputize.store.sqlite import open_store

    keyring = KeyRing.open(terminal.home)
    store = open_store(terminal.home)
    try:
        with terminal.progress() as progress:
            done = import_paths(store, keyring, list(paths), log_format, agent, progress)
        n_stored = store.count()
    finally:
        store.close()
    for skip in done.skipped[:_SHOWN]:
        terminal.note(f"skipped {skip.file}:{skip.line}: {skip.reason}")
    if done.n_skipped > _SHOWN:
        terminal.note(f"... and {done.n_skipped - _SHOWN} more lines skipped")
    document = {
        "n_calls": done.n_calls, "n_duplicates": done.n_duplicates, "n_skipped": done.n_skipped, "n_stored": n_stored,
        "skipped": [{"file": s.file, "line": s.line, "reason": s.reason} for s in done.skipped],
    }  # fmt: skip
    terminal.result(
        document,
        lambda: terminal.say(
            f"{done.n_calls} calls imported, {done.n_duplicates} were here already, {done.n_skipped} lines skipped; "
            f"the store holds {n_stored}."
        ),
    )


@click.command()
@click.option("--origin", required=True, metavar="ID", help="Who asked, as it was sent (not the pseudonym).")
@click.option("--tenant", default="default", show_default=True)
@pass_terminal
def erase(terminal: Terminal, /, origin: str, tenant: str) -> None:
    """Erase every stored call of one origin: its keys are destroyed, so that backups cannot bring it back."""
    from deputize.store.audit import AuditLog
    from deputize.store.erasure import erase_origin
    from deputize.store.keys import KeyRing
    from deputize.store.roles import owner
    from deputize.store.sqlite import open_store

    keyring = KeyRing.open(terminal.home, create=False)
    store = open_store(terminal.home, keyring)
    try:
        audit = AuditLog(terminal.home, keyring)
        done = erase_origin(terminal.home, keyring, store, audit, owner(), origin, tenant=tenant)
    finally:
        store.close()
    document = {
        "tenant": tenant, "origin": done.erased.origin, "n_calls": len(done.erased.call_ids),
        "specialists": [taught.path for taught in done.taught],
    }  # fmt: skip

    def show() -> None:
        terminal.say(f"{len(done.erased.call_ids)} calls erased.")
        for taught in done.taught:
            terminal.say(taught.advice)

    terminal.result(document, show)
