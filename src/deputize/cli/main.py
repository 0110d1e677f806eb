"""The entry point: finds the verb, turns every failure into a sentence and an exit code."""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click
from click.shell_completion import CompletionItem

from deputize.cli.commands import COMMANDS, GROUPS, overview, write_help
from deputize.cli.completion import answer_shell
from deputize.cli.rights import guarded
from deputize.cli.terminal import Terminal
from deputize.core.errors import DeputizeError, MissingExtra
from deputize.core.terminal_text import plain

STOPPED = "Stopped; run the same command again to go on."


def _set_home(ctx: click.Context, _param: click.Parameter, value: str | None) -> None:
    if value is not None:
        ctx.ensure_object(Terminal).given_home = value


def _set_json(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value:
        ctx.ensure_object(Terminal).json = True


def common_options() -> list[click.Option]:
    """--home and --json, which every command takes, before or after its verb."""
    return [
        click.Option(
            ["--home"],
            metavar="DIR",
            callback=_set_home,
            expose_value=False,
            help="Home folder (default ./.deputize or DEPUTIZE_HOME).",
        ),
        click.Option(
            ["--json"],
            is_flag=True,
            callback=_set_json,
            expose_value=False,
            help="One JSON document on stdout.",
        ),
    ]


def _with_common(command: click.Command, name: str) -> click.Command:
    """The command with what all have: --home, --json, and a check of who may use it."""
    new = not any(p.name == "home" for p in command.params)
    if new:
        command.params.extend(common_options())
    if isinstance(command, click.Group):
        for verb, inner in command.commands.items():
            _with_common(inner, f"{name} {verb}")
            # lists of commands show the whole first sentence, over two lines where it is long
            inner.short_help = inner.short_help or inner.get_short_help_str(limit=1000)
    elif new and command.callback is not None:
        command.callback = guarded(name, command.callback)
    return command


class LazyGroup(click.Group):
    """A group that imports a verb's module when the verb is used, so that `deputize --help` stays quick."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name].split(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return _with_common(command, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.NoSuchCommand as error:
            # click proposes what it holds itself, and it holds nothing here
            raise click.NoSuchCommand(error.command_name, possibilities=COMMANDS, ctx=ctx) from None

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        # from the table: importing every command would take a second at each press of the tab key
        found = [
            CompletionItem(verb, help=sentence)
            for group in GROUPS.values()
            for verb, (_, sentence) in group.items()
            if verb.startswith(incomplete)
        ]
        return [*found, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        write_help(formatter, set(COMMANDS))


@click.group(
    cls=LazyGroup,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    params=common_options(),
)
@click.version_option(package_name="deputize")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """Turn an agent that calls an LLM for everything into one that is SLM-first, with a certificate per route."""
    if ctx.invoked_subcommand is None:
        document = {
            "commands": {title: {v: s for v, (_, s) in group.items()} for title, group in GROUPS.items()}
        }
        ctx.ensure_object(Terminal).result(document, lambda: click.echo(overview()))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command line; its exit code. Nothing is raised."""
    terminal = Terminal()
    try:
        return _run(terminal, arguments)
    finally:
        terminal.close()


def _run(terminal: Terminal, arguments: Sequence[str] | None) -> int:
    try:
        # not cli.main(): that has ways of its own to end when a pipe breaks
        if arguments is None and (asked := answer_shell(cli)) is not None:
            return asked
        given = list(sys.argv[1:] if arguments is None else arguments)
        with cli.make_context("deputize", given, obj=terminal) as ctx:
            cli.invoke(ctx)
        sys.stdout.flush()
        return 0
    except (KeyboardInterrupt, click.Abort):
        click.echo(STOPPED, err=True)
        return 130
    except BrokenPipeError:
        # whoever read our output has seen enough; what Python flushes at exit must not fail again
        with contextlib.suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message(), err=True)
        return error.exit_code
    except click.ClickException as error:
        return _fail(terminal, error.format_message(), "usage", error.exit_code, hint=_hint(error))
    except DeputizeError as error:
        return _fail(terminal, str(error), error.code, error.exit_code)
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("deputize"):
            return _fail(terminal, _unexpected(terminal, error), "internal_error", 1)
        return _fail(terminal, _about_module(error), MissingExtra.code, MissingExtra.exit_code)
    except OSError as error:
        return _fail(terminal, _about_os(error), "os_error", 1)
    except MemoryError:
        return _fail(
            terminal, "There is not enough memory for this; what was finished before is kept.", "memory", 1
        )
    except Exception as error:  # noqa: BLE001 - the edge: whatever comes, the user reads a sentence
        return _fail(terminal, _unexpected(terminal, error), "internal_error", 1)


def _hint(error: click.ClickException) -> str:
    ctx = getattr(error, "ctx", None)
    return f"Try '{ctx.command_path} --help'." if ctx is not None else ""


def _fail(terminal: Terminal, sentence: str, code: str, exit_code: int, *, hint: str = "") -> int:
    with contextlib.suppress(OSError):
        click.echo(plain(f"deputize: {sentence}" + (f"\n{hint}" if hint else "")), err=True)
        if terminal.json:
            terminal.result({"error": {"code": code, "message": sentence}}, lambda: None)
    return exit_code


def _about_os(error: OSError) -> str:
    where = f" ({error.filename})" if error.filename else ""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"The disk is full{where}. What was finished before is kept: make room and run the same command again."
    if error.errno == errno.EADDRINUSE:
        return "The port is in use by another program. Choose another one with --port."
    return f"{error.strerror or error}{where}"


def _about_module(error: ModuleNotFoundError) -> str:
    return (
        f"{error.name} is not installed. Everything that is optional comes with: pip install 'deputize[all]'"
    )


def _unexpected(terminal: Terminal, error: Exception) -> str:
    text = "".join(traceback.format_exception(error))
    where = ""
    with contextlib.suppress(OSError, DeputizeError):
        folder: Path | None = terminal.home.traces_path
        if folder is not None and folder.parent.is_dir():
            if folder.is_symlink():  # an erasure does not look where a link leads
                folder.unlink()
            folder.mkdir(mode=0o700, exist_ok=True)  # where an erasure finds it
        else:
            folder = None
        with tempfile.NamedTemporaryFile(
            "w", prefix="deputize-", suffix=".trace", dir=folder, delete=False
        ) as file:
            file.write(text)
        where = (
            f" The details are in {Path(file.name)}; it may quote your data, so look before you pass it on."
        )
    return f"Something went wrong that should not have ({type(error).__name__}).{where}"


def _terminate(_number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(143)


def main() -> NoReturn:
    """Entry point of the `deputize` script."""
    # SIGTERM unwinds like Ctrl-C does, so that servers and workers we started are stopped and files closed
    signal.signal(signal.SIGTERM, _terminate)
    os.umask(0o077)  # what a home holds is nobody else's on this machine
    sys.exit(run())


if __name__ == "__main__":
    main()
