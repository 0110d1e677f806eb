"""init: a first config.toml, from questions or options."""

from __future__ import annotations

import json
import os
import sys

import click

from deputize.cli.terminal import Terminal, pass_terminal
from deputize.core.config import Convert
from deputize.core.errors import BadInput, UsageError
from deputize.upstreams.upstream_config import UpstreamConfig

KEY_VARIABLES = {"api.openai.com": "OPENAI_API_KEY", "api.anthropic.com": "ANTHROPIC_API_KEY"}
"""Host -> the variable in which its users usually have their key."""


@click.command()
@click.option(
    "--upstream", metavar="URL", help="The LLM behind the gateway, for example https://api.openai.com."
)
@click.option(
    "--api-key-env",
    metavar="NAME",
    help="Variable that holds the LLM's key; empty: the agents' own keys travel on.",
)
@click.option(
    "--tenant", metavar="NAME", help="Customer or team whose calls are kept apart, if there are several."
)
@pass_terminal
def init(terminal: Terminal, /, upstream: str | None, api_key_env: str | None, tenant: str | None) -> None:
    """Write a first config.toml with comments, and say what to do next. One that is there stays as it is.

    On a terminal it asks for what no option says.
    """
    from deputize.gateway.settings import upstream_from

    path = terminal.home.config_path
    if path.exists():
        raise BadInput(f"{path} is there already and was not changed. `deputize config check` looks at it.")
    asks = sys.stdin.isatty() and not terminal.json
    if upstream is None:
        if not asks:
            raise UsageError("Without a terminal to ask on, init takes --upstream URL.")
        upstream = click.prompt("Address of the LLM", default="https://api.openai.com", err=True)
        upstream_from(upstream)  # a wrong address is refused before the next question
    usual = next((name for host, name in KEY_VARIABLES.items() if host in upstream), "")
    if api_key_env is None and asks:
        words = "Variable with its key (empty: the agents' own keys travel on)"
        api_key_env = click.prompt(words, default=usual if usual in os.environ else "", err=True)
    if tenant is None and asks:
        tenant = click.prompt("Tenant (empty: there is one only)", default="", err=True)
    config = upstream_from(upstream, api_key_env or "")
    written = config_text(config, tenant or "")
    terminal.home.path.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(written)
    steps = next_steps(terminal, config, tenant or "")

    def show() -> None:
        terminal.say(f"Written: {path}")
        for number, step in enumerate(steps, 1):
            terminal.say(f"{number}. {step}")

    terminal.result({"path": str(path), "next": steps}, show)


def next_steps(terminal: Terminal, config: UpstreamConfig, tenant: str) -> list[str]:
    """The commands and changes that lead to the first recorded call."""
    home = f" --home {terminal.given_home}" if terminal.given_home else ""
    set_key = f"export {config.api_key_env}=..." if config.api_key_env else ""
    if config.api_key_env and os.environ.get(config.api_key_env):
        set_key = ""
    accept = f"deputize config accept{home}" if (terminal.home.keys_path / "api_keys.json").exists() else ""
    key = f"deputize keys create --role ingest --tenant {tenant}{home}" if tenant else ""
    return [
        step
        for step in (
            set_key,
            accept,
            key and f"{key}    (the agents of {tenant} send this key)",
            f"deputize serve{home}",
            "In the agent: base_url = http://127.0.0.1:8790/v1",
            f"deputize status{home}    (how many calls there are, and what for)",
        )
        if step
    ]


def config_text(config: UpstreamConfig, tenant: str = "") -> str:
    """config.toml with one upstream; the other settings stand in it as comments, with their defaults."""
    convert = Convert()
    key = (
        f"api_key_env = {json.dumps(config.api_key_env)}   # variable that holds its key"
        if config.api_key_env
        else '# api_key_env = "OPENAI_API_KEY"   # without it the agents\' own keys travel on'
    )
    whose = json.dumps(tenant or "*")
    return f"""# Settings of this home. All of them: docs/reference/settings.md and docs/reference/gateway.md.
# A line that begins with # is not in force. `deputize config check` finds mistakes.

[[gateway.upstreams]]
name = {json.dumps(config.name)}
base_url = {json.dumps(config.base_url)}
protocol = {json.dumps(config.protocol)}
{key}

# [gateway]
# audit_share = 0.02     # share of the served calls that the LLM is asked as well
# require_keys = "auto"  # API keys are asked for once there has been one: deputize keys create

# [convert]
# epsilon = {convert.epsilon}         # loss that a route may cost at most
# delta = {convert.delta}           # probability with which a certificate may be wrong
# minutes = {convert.minutes:g}           # time budget of a run

# [retention]            # days that calls are kept; without it, until they are erased
# {whose} = 90
"""
