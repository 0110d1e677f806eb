"""dashboard: the live page of a home, in the browser."""

from __future__ import annotations

import click

from deputize.cli.terminal import Terminal, pass_terminal

PORT = 8791


@click.command()
@click.option(
    "--port", type=click.IntRange(0, 65535), default=PORT, show_default=True, help="Port; 0: any free one."
)
@click.option("--open", "open_page", is_flag=True, help="Open the page in the browser.")
@pass_terminal
def dashboard(terminal: Terminal, /, port: int, open_page: bool) -> None:
    """Show calls, savings, routes, tasks, audits and runs as a page that keeps itself up to date.

    It listens on this machine only, and prints a link: whoever has it sees and does what you may. Ctrl-C ends it. The
    gateway has the same pages at /ui, for people with API keys.
    """
    from deputize.dashboard.local_server import serve_dashboard

    def say(link: str) -> None:
        terminal.note(f"The dashboard of {terminal.home.path} is at:\n{link}\nCtrl-C ends it.")
        if open_page:
            click.launch(link)

    serve_dashboard(terminal.home, terminal.actor, port, say)
