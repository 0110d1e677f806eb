"""Writes docs/reference/cli.md from the commands themselves:
`python -m deputize.cli.reference > docs/reference/cli.md`."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterator

import click

from deputize.cli.commands import COMMANDS
from deputize.cli.convert import run_options
from deputize.cli.main import cli

_HEAD = """# Commands

Written by `python -m deputize.cli.reference`; a test compares it with the commands.

Every command takes `--home DIR` (default `./.deputize`, or `DEPUTIZE_HOME`; `demo` always defaults to
`./.deputize-demo`) and `--json` (one JSON document on stdout; progress and notes go to stderr).

Exit codes: 0 done, 2 usage, 3 bad input, 4 a missing extra or model, 5 access denied, 6 (`convert`) too few episodes
for any certificate, so nothing was trained, 130 stopped with Ctrl-C, 1 anything else.
"""


def markdown() -> str:
    """The page."""
    ctx = click.Context(cli, info_name="deputize")
    parts = [_HEAD]
    for name in COMMANDS:
        command = cli.get_command(ctx, name)
        assert command is not None
        parts.extend(_sections(command, f"deputize {name}"))
    return "\n".join(parts)


def _sections(command: click.Command, path: str) -> Iterator[str]:
    if isinstance(command, click.Group):
        for name, inner in sorted(command.commands.items()):
            yield from _sections(inner, f"{path} {name}")
        return
    arguments = [p for p in command.params if isinstance(p, click.Argument)]
    options = [p for p in command.params if isinstance(p, click.Option) and p.name not in ("home", "json")]
    shared = {p.name: p for p in run_options(click.Command("convert")).params}
    is_run = command.name != "convert" and shared.keys() <= {option.name for option in options}
    usage = " ".join([path, *(a.make_metavar(click.Context(command)) for a in arguments)])
    lines = [f"## `{usage}`", "", *_prose(command.help or "")]
    lines += [
        _wrapped(f"- `{_spelling(option)}` {option.help or ''}".rstrip() + _default(option))
        for option in options
        if not (is_run and option.name in shared)
    ]
    if is_run:
        names = ", ".join(f"`{option.opts[0]}`" for option in options if option.name in shared)
        lines.append(_wrapped(f"- Settings of a run, as [of `convert`](#deputize-convert-paths): {names}."))
    yield "\n".join(lines).rstrip() + "\n"


def _prose(text: str) -> Iterator[str]:
    r"""A command's help: text in lines of the page's width, and what stands after a line with \b as it is written."""
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        if paragraph.startswith("\b\n"):
            yield from ("```text", paragraph.removeprefix("\b\n"), "```", "")
        else:
            yield from (_wrapped(paragraph), "")


def _wrapped(text: str) -> str:
    """Lines of at most 120 characters, of a list's item indented."""
    indent = "  " if text.startswith("- ") else ""
    words = " ".join(text.split())
    return textwrap.fill(words, 120, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)


def _spelling(option: click.Option) -> str:
    if option.is_flag:
        return option.opts[0]
    kind = (
        "|".join(map(str, option.type.choices))
        if isinstance(option.type, click.Choice)
        else option.metavar or option.type.name.upper()
    )
    return f"{option.opts[0]} {kind}"


def _default(option: click.Option) -> str:
    shown = option.show_default and not option.is_flag and option.default not in (None, "")
    return f" (default {option.default})" if shown else ""


if __name__ == "__main__":
    click.echo(markdown(), nl=False)
