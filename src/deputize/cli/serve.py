"""serve: the gateway in the foreground."""

from __future__ import annotations

import click

from deputize.cli.terminal import Terminal, pass_terminal


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=8790, show_default=True)
@click.option(
    "--upstream", metavar="URL", help="The LLM behind the gateway, for example https://api.openai.com."
)
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True)
@click.option(
    "--api-key-env",
    metavar="NAME",
    help="Variable that holds the LLM's key; else the agents' own keys travel on.",
)
@pass_terminal
def serve(
    terminal: Terminal, /, host: str, port: int, upstream: str | None, workers: int, api_key_env: str | None
) -> None:
    """Run the gateway: agents change their base_url to it and nothing else."""
    from deputize.gateway.launch import serve as serve_gateway

    def say(base_url: str) -> None:
        terminal.note(
            f"The gateway listens on {base_url}/v1 for the home {terminal.home.path}. Ctrl-C stops it."
        )

    serve_gateway(terminal.home.path, host, port, upstream, workers, api_key_env, say)
