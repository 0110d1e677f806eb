"""import: logs of LLM calls into the store."""

from __future__ import annotations

from typing import Any, Literal

import click
import msgspec

from deputize.cli.terminal import Terminal, pass_terminal
from deputize.core.errors import BadInput
from deputize.core.import_summary import Imported, ImportedFile, SkipReason
from deputize.stages.collect.importers.registry import AUTO, format_names, formats_help

_SHOWN_FILES = 12
_SHOWN_REASONS = 5


class LogFormat(click.ParamType[Any]):
    """A log format by name, or the importer of one as module:attribute."""

    name = "format"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        return "NAME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if ":" not in value and value not in format_names():
            self.fail(
                f"{value!r} is not a log format; formats are {', '.join(format_names())}; "
                "or name an importer as module:attribute.",
                param,
                ctx,
            )
        return value

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[Any]:
        from click.shell_completion import CompletionItem

        return [CompletionItem(name) for name in format_names() if name.startswith(incomplete)]


log_format_option = click.option(
    "--format", "log_format", type=LogFormat(), default=AUTO, show_default=True, help=formats_help()
)


def _list_formats(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if not value or ctx.resilient_parsing:
        return
    from deputize.stages.collect.importers.registry import format_rows

    terminal = ctx.ensure_object(Terminal)
    rows = format_rows()
    document = [{"format": name, "description": description} for name, description in rows]
    terminal.result(document, lambda: terminal.say("\n".join(f"{name:<20} {text}" for name, text in rows)))
    ctx.exit()


@click.command("import")
@click.argument("paths", nargs=-1, required=True, metavar="PATHS...")
@log_format_option
@click.option(
    "--formats",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_list_formats,
    help="List the formats and stop.",
)
@click.option("--agent", default="", help="Agent name for calls without one.")
@click.option(
    "--audience",
    type=click.Choice(["code", "human"]),
    help="Who reads the replies of this log, where it does not say so: code or a person.",
)
@click.option(
    "--map",
    "mapped",
    multiple=True,
    metavar="FIELD=PATH",
    help="Where a format of your own has a field of a call, such as messages=payload.input or response=out[0].text. "
    "Give it several times; response and one of messages, prompt and request are needed.",
)
@click.option(
    "--look",
    is_flag=True,
    help="Store nothing: show the first call as it would be stored, and what would be left out.",
)
@click.option(
    "--unpack-all",
    is_flag=True,
    help="Read packed files also where they unpack to more than 32 MiB and 100 times their size (200 for bz2, xz and zst), which no log does.",
)
@click.option("--partial", is_flag=True, help="Exit 0 also where more records could not be read than could.")
@pass_terminal
def import_(
    terminal: Terminal,
    /,
    paths: tuple[str, ...],
    log_format: str,
    agent: str,
    audience: Literal["code", "human"] | None,
    mapped: tuple[str, ...],
    look: bool,
    unpack_all: bool,
    partial: bool,
) -> None:
    """Read logs of LLM calls into the encrypted store.

    PATHS are files, folders with subfolders, - for standard input, or addresses such as s3://bucket/folder. JSON lines,
    JSON, CSV, YAML, Parquet and Arrow are read, packed as gz, zst, bz2, xz, zip or tar; --formats lists whose logs.
    """
    from deputize.stages.collect.importers.mapped import parse_field_paths

    field_paths = parse_field_paths(list(mapped))
    if look:
        _look(terminal, paths, log_format, agent, field_paths, unpack_all=unpack_all)
        return
    from deputize.library import import_logs

    home = terminal.home
    with terminal.progress() as progress:
        done = import_logs(
            home,
            paths,
            log_format,
            agent=agent,
            audience=audience or "unknown",
            field_paths=field_paths,
            progress=progress,
            unpack_all=unpack_all,
        )
    n_stored = home.store.count()
    note_files(terminal, done)
    document = {
        **_document(done),
        "n_calls": done.n_calls,
        "n_duplicates": done.n_duplicates,
        "n_stored": n_stored,
    }
    terminal.result(
        document,
        lambda: terminal.say(
            f"{done.n_calls} calls imported, {done.n_duplicates} were here already, {done.n_skipped} lines skipped; "
            f"the store holds {n_stored}."
        ),
    )
    n_read = done.n_calls + done.n_duplicates
    if done.n_skipped > n_read and not partial:
        raise BadInput(
            f"{done.n_skipped} records could not be read and {n_read} could. What could be read is stored; "
            "--partial says that this is right."
        )


def _document(done: Imported) -> dict[str, Any]:
    return {
        "n_skipped": done.n_skipped,
        "n_no_calls": done.n_no_calls,
        "n_not_kept": done.n_not_kept,
        "files": [msgspec.to_builtins(f) for f in done.files],
        "skipped": [{"file": s.file, "line": s.line, "reason": s.reason} for s in done.skipped],
        "hidden": done.hidden,
    }


def _look(
    terminal: Terminal,
    paths: tuple[str, ...],
    log_format: str,
    agent: str,
    field_paths: dict[str, str],
    *,
    unpack_all: bool,
) -> None:
    from deputize.stages.collect.import_logs import look_at_paths

    looked = look_at_paths(list(paths), log_format, agent, field_paths=field_paths, unpack_all=unpack_all)
    note_files(terminal, looked.summary)
    call = msgspec.to_builtins(looked.first)
    shown = msgspec.json.format(msgspec.json.encode(call), indent=2).decode()
    terminal.result(
        {"n_calls": looked.n_calls, **_document(looked.summary), "first_call": call},
        lambda: terminal.say(f"{shown}\n{looked.n_calls} calls would be imported; nothing was stored."),
    )


def note_files(terminal: Terminal, done: Imported) -> None:
    """Says for each file what was recognised in it, and why something was left out."""
    shown = [f for f in done.files if f.reasons or len(done.files) == 1 or f.n_calls][:_SHOWN_FILES]
    for file in shown:
        terminal.note(_file_line(file))
        for reason in file.reasons[:_SHOWN_REASONS]:
            terminal.note(f"  {_reason_line(reason)}")
        if len(file.reasons) > _SHOWN_REASONS:
            terminal.note(f"  and {len(file.reasons) - _SHOWN_REASONS} further reasons")
    if len(done.files) > len(shown):
        terminal.note(f"and {len(done.files) - len(shown)} further files")
    if done.n_not_kept:
        terminal.note(
            f"not stored: {done.n_not_kept} calls of tenants or sites of which [recording] keeps nothing"
        )
    if done.hidden:
        names = ", ".join(done.hidden[:3]) + (" ..." if len(done.hidden) > 3 else "")
        terminal.note(f"not read, since their names begin with a dot: {names}")


def _file_line(file: ImportedFile) -> str:
    formats = ", ".join(
        f"{name} ({n})" if len(file.formats) > 1 else name for name, n in file.formats.items()
    )
    return f"{file.name}: {formats or 'no format recognised'}, {file.n_calls} calls"


def _reason_line(reason: SkipReason) -> str:
    keys = f" (keys seen: {', '.join(reason.keys)})" if reason.keys else ""
    what = "left out" if reason.is_no_call else "skipped"
    where = f", first at line {reason.first_line}" if reason.first_line else ""
    return f"{reason.n} {what}{where}: {reason.reason}{keys}"
