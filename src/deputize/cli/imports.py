"""import and retention: what goes into the store, and what must leave it in time."""

from __future__ import annotations

import contextlib
from pathlib import Path

import click

from deputize.cli.terminal import Terminal, pass_terminal
from deputize.core.errors import BadInput, StoreError, UsageError
from deputize.stages.collect.importers.registry import AUTO, formats_help

_SHOWN = 5

log_format_option = click.option(
    "--format", "log_format", metavar="NAME", default=AUTO, show_default=True, help=formats_help()
)


@click.command("import")
@click.argument("paths", nargs=-1, required=True, type=click.Path(path_type=Path))
@log_format_option
@click.option("--agent", default="", help="Name the calls' agent where the log has none.")
@pass_terminal
def import_(terminal: Terminal, /, paths: tuple[Path, ...], log_format: str, agent: str) -> None:
    """Read logs of LLM calls (JSONL, plain or .gz; folders too) into the encrypted store."""
    from deputize.stages.collect.import_logs import import_paths

    home = terminal.home
    with terminal.progress() as progress:
        done = import_paths(home.store, home.keyring, list(paths), log_format, agent, progress)
    n_stored = home.store.count()
    for skip in done.skipped[:_SHOWN]:
        terminal.note(f"skipped {skip.file}:{skip.line}: {skip.reason}")
    if done.n_skipped > _SHOWN:
        terminal.note(f"... and {done.n_skipped - _SHOWN} more lines skipped")
    document = {
        "n_calls": done.n_calls,
        "n_duplicates": done.n_duplicates,
        "n_skipped": done.n_skipped,
        "n_stored": n_stored,
        "skipped": [{"file": s.file, "line": s.line, "reason": s.reason} for s in done.skipped],
    }
    terminal.result(
        document,
        lambda: terminal.say(
            f"{done.n_calls} calls imported, {done.n_duplicates} were here already, {done.n_skipped} lines skipped; "
            f"the store holds {n_stored}."
        ),
    )


def forget_in_runs(terminal: Terminal) -> dict[str, int] | None:
    """Takes what is gone from the store out of the runs; None where one is at work, which does so itself when it ends."""
    from deputize.pipeline import forget

    try:
        return forget(terminal.home)
    except UsageError as error:
        terminal.note(f"{error} The run drops what is gone when it ends; then use this command once more.")
        return None


@click.command()
@pass_terminal
def retention(terminal: Terminal, /) -> None:
    """Delete the calls that are older than [retention] in config.toml allows, in the store and in the runs.

    One line a tenant, in days: default = 90; "*" = 30 for everybody who is not named. `deputize watch` does it too.
    """
    limits = terminal.home.retention()
    if not limits:
        raise BadInput(
            f"{terminal.home.config_path} sets no limit: write [retention] and a line such as default = 90."
        )
    terminal.home.require_keys()
    deleted, forgotten = retain(terminal, limits)
    terminal.result(
        {"max_age_days": limits, "deleted": deleted, "forgotten": forgotten},
        lambda: terminal.table(("tenant", "deleted calls"), list(deleted.items())),
    )


def retain(terminal: Terminal, limits: dict[str, float]) -> tuple[dict[str, int], dict[str, int]]:
    """Applies retention limits; (tenant -> deleted calls, run -> examples taken out).

    A mark in the home says from before the first deletion until the end that runs may hold what the store does not any
    more: whatever stops this in between, or keeps the runs busy, the next time goes on with them.
    """
    from deputize.files import reason
    from deputize.store.erasure import apply_retention
    from deputize.store.sessions import existing_sessions

    home = terminal.home
    mark = home.path / "forget.pending"
    was_stopped = mark.exists()
    try:
        mark.touch(mode=0o600)
        sessions = existing_sessions(home.path, home.keyring)
        with contextlib.closing(sessions) if sessions else contextlib.nullcontext():
            deleted = apply_retention(home.store, home.audit, terminal.actor, limits, sessions=sessions)
        forgotten: dict[str, int] | None = {}
        if was_stopped or any(deleted.values()):
            forgotten = forget_in_runs(terminal)
        if forgotten is not None:
            mark.unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"{mark} cannot be written: {reason(error)}.") from error
    return deleted, forgotten or {}
