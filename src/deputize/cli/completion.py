"""completion: the script by which a shell completes commands, options and choices."""

from __future__ import annotations

import os

import click
from click.shell_completion import get_completion_class, shell_complete

from deputize.cli.terminal import Terminal, pass_terminal

VARIABLE = "_DEPUTIZE_COMPLETE"
"""Set by the script when it asks for completions; its value names the shell."""
SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@pass_terminal
def completion(terminal: Terminal, /, shell: str) -> None:
    """Print the completion script of SHELL: commands, options and choices by the tab key.

    \b
    eval "$(deputize completion bash)"    in ~/.bashrc
    eval "$(deputize completion zsh)"     in ~/.zshrc
    deputize completion fish | source     in ~/.config/fish/config.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None  # click brings these three
    cli = click.get_current_context().find_root().command
    script = kind(cli, {}, "deputize", VARIABLE).source()
    terminal.result({"shell": shell, "script": script}, lambda: click.echo(script))


def answer_shell(cli: click.Command) -> int | None:
    """Answers the shell where it is the one that asks. Returns the exit code, or None where nobody asked."""
    instruction = os.environ.get(VARIABLE)
    if not instruction:
        return None
    return shell_complete(cli, {}, "deputize", VARIABLE, instruction)
