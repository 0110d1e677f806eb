"""publish: routes, API keys and specialists of this home, for the homes that share them."""

from __future__ import annotations

import click

from deputize.cli.terminal import Terminal, pass_terminal
from deputize.core.errors import UsageError


@click.command()
@click.option(
    "--begin-again",
    is_flag=True,
    help="Publish everything of this home where no version is there any more: the object store was emptied, or the address is a "
    "new one. Do it on the home that knows the newest version (deputize_pointer_version).",
)
@pass_terminal
def publish(terminal: Terminal, /, begin_again: bool) -> None:
    """Publish what this home shares to the object store of [objects], for the first time or what is missing there.

    Afterwards every change of routes and API keys, on any home, publishes itself. A home that joins takes over what is
    published; its own routes and keys stay beside as files that end in .before.
    """
    from deputize.pipeline.run_sharing import shared_runs

    shared = terminal.home.published
    if shared is None:
        raise UsageError(
            f"{terminal.home.config_path} names no object store: write [objects] with url, for example s3://bucket/folder."
        )
    before = shared.version
    version = shared.publish_missing(begins_again=begin_again)
    if (runs := shared_runs(terminal.home)) is not None:
        runs.share_again()
        version = shared.version
    address = shared.bucket.address
    say = f"Version {version} is in force in {address}" + (
        "." if version != before else "; nothing was missing."
    )
    terminal.result({"version": version, "address": address}, lambda: terminal.say(say))
