"""import: logs of LLM calls into the store."""

from __future__ import annotations

from pathlib import Path

import click

from deputize.cli.terminal import Terminal, pass_terminal
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
