"""serve: the gateway in the foreground."""

from __future__ import annotations

import sys
from typing import Any

import click

from deputize.cli.terminal import Terminal, pass_terminal
from deputize.home import Home
from deputize.operations.route_rows import state_words

MAX_ROUTES_SHOWN = 12
"""Routes that are listed when the gateway begins; of more, the number is said."""


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8790, show_default=True, help="Port; 0: any free one."
)
@click.option(
    "--upstream", metavar="URL", help="The LLM behind the gateway, for example https://api.openai.com."
)
@click.option(
    "--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes that answer."
)
@click.option(
    "--api-key-env",
    metavar="NAME",
    help="Variable that holds the LLM's key; else the agents' own keys travel on.",
)
@click.option("--quiet", is_flag=True, help="No line for each call.")
@click.option(
    "--log-format",
    type=click.Choice(["short", "text", "json"]),
    help="Lines of the log, with one for each call (default on a terminal: short; else as config.toml says).",
)
@pass_terminal
def serve(
    terminal: Terminal,
    /,
    host: str,
    port: int,
    upstream: str | None,
    workers: int,
    api_key_env: str | None,
    quiet: bool,
    log_format: str | None,
) -> None:
    """Run the gateway: agents change their base_url to it and nothing else.

    It says when it listens and which routes it has; on a terminal each call is then a line: who answered, in which
    time, why. `deputize tail` shows calls from another terminal.
    """
    from deputize.gateway.launch import serve as serve_gateway

    def say(base_url: str) -> None:
        terminal.note(f"The gateway listens on {base_url}/v1 for the home {terminal.home.path}.")
        for line in route_lines(terminal.home):
            terminal.note(line)
        terminal.note(f"Live page: `deputize dashboard`, or {base_url}/ui with an API key.")
        terminal.note(f"In the agent: base_url = {base_url}/v1. Ctrl-C stops it.")

    given = log_settings(log_format, quiet=quiet, is_terminal=sys.stderr.isatty())
    serve_gateway(terminal.home.path, host, port, upstream, workers, api_key_env, say, given)


def log_settings(log_format: str | None, *, quiet: bool, is_terminal: bool) -> dict[str, Any]:
    """The settings of the log that win over those of config.toml.

    Args:
        log_format: as asked for; None: not said.
        quiet: no line for each call.
        is_terminal: somebody reads along.
    """
    wanted = log_format or ("short" if is_terminal else None)
    given: dict[str, Any] = {"log_format": wanted, "access_log": True} if wanted else {}
    return {**given, "access_log": False} if quiet else given


def route_lines(home: Home) -> list[str]:
    """The routes that the gateway has taken up, a line each."""

    if not home.routes_path.exists():
        return ["No routes yet: the LLM answers. `deputize status` says what is missing."]
    routes = home.routes().routes
    lines = [f"  {one.task_id:<10} {state_words(one):<26} {one.task_name}"[:79] for one in routes]
    more = len(lines) - MAX_ROUTES_SHOWN
    return [
        f"{len(routes)} route{'' if len(routes) == 1 else 's'}:",
        *lines[:MAX_ROUTES_SHOWN],
        *([f"  and {more} more: `deputize route list`"] if more > 0 else []),
    ]
