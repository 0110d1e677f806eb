"""mcp: certified specialists as tools of other agents."""

from __future__ import annotations

import asyncio

import click

from deputize.cli.terminal import Terminal, pass_terminal
from deputize.core.errors import UsageError
from deputize.core.records import DEFAULT_TENANT


@click.command()
@click.option(
    "--http",
    "port",
    type=click.IntRange(1, 65535),
    metavar="PORT",
    help="Serve over streamable HTTP on 127.0.0.1, not on standard input and output.",
)
@click.option("--agent-card", is_flag=True, help="Print the A2A agent card of the specialists, and end.")
@click.option(
    "--tenant",
    default=DEFAULT_TENANT,
    show_default=True,
    metavar="NAME",
    help="Whose specialists are offered.",
)
@pass_terminal
def mcp(terminal: Terminal, /, port: int | None, agent_card: bool, tenant: str) -> None:
    """Offer the specialists of live routes to other agents by the Model Context Protocol: one tool for each.

    Below the threshold of its certificate a tool says that it does not answer. Calls of tools are not recorded.
    """
    from deputize import __version__
    from deputize.gateway.settings import read_settings
    from deputize.operations import mcp_server, specialist_tools

    home = terminal.home
    in_force = specialist_tools.ToolsInForce(home, tenant)
    tools = in_force()
    if agent_card:
        url = f"http://127.0.0.1:{port or 8791}{mcp_server.ENDPOINT}"
        terminal.say(specialist_tools.card_text(tools, url, __version__))
        return
    if not tools:
        raise UsageError("No route is live, so there is no tool to offer: see `deputize route list`.")
    timeout_s = read_settings(home.path).specialist_timeout_s
    home.audit.append("mcp.serve", tenant=tenant, detail={"tools": ", ".join(tool.name for tool in tools)})
    if port is None:
        asyncio.run(mcp_server.serve_stdio(home, in_force, timeout_s))
        return
    terminal.note(f"{len(tools)} tools at http://127.0.0.1:{port}{mcp_server.ENDPOINT}; ctrl-c ends it.")
    asyncio.run(mcp_server.serve_http(home, in_force, timeout_s, port))
