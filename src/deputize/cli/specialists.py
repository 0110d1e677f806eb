"""specialists: hosts that answer for the specialists of a home, apart from its gateways."""

from __future__ import annotations

import logging

import click

from deputize.cli.terminal import Terminal, pass_terminal


@click.group()
def specialists() -> None:
    """Hosts of specialists, apart from gateways."""


@specialists.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8795, show_default=True, help="Port; 0: any free one."
)
@pass_terminal
def serve(terminal: Terminal, /, host: str, port: int) -> None:
    """Answer for the specialists of the home's routes, for gateways on other machines.

    The home has the same keys as theirs, and shares their routes through [objects], or is a copy. In a gateway's
    config.toml:

    \b
    [serving]
    hosts = ["http://ADDRESS:8795"]

    What is asked and answered is sealed with the keys of the home, and kept nowhere. /metrics takes an API key beyond
    this machine.
    """
    from deputize.hosting.host_process import serve_host

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    serve_host(
        terminal.home,
        host,
        port,
        lambda address: terminal.note(
            f"Specialists of {terminal.home.path} answer at {address}. Ctrl-C ends it."
        ),
    )
