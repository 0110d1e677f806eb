"""retention: calls that are older than their tenant's limit leave the store and the runs."""

from __future__ import annotations

import click

from deputize.cli.terminal import Terminal, pass_terminal
from deputize.core.errors import BadInput


@click.command()
@pass_terminal
def retention(terminal: Terminal, /) -> None:
    """Delete the calls that are older than [retention] in config.toml allows, in the store and in the runs.

    One line a tenant, in days: default = 90; "*" = 30 for everybody who is not named. `deputize watch` does it too.
    """
    from deputize.maintenance.retention import retain

    home = terminal.home
    limits = home.retention()
    if not limits:
        raise BadInput(
            f"{home.config_path} sets no limit: write [retention] and a line such as default = 90."
        )
    home.require_keys()
    deleted, forgotten = retain(home, terminal.actor, limits, note=terminal.note)
    terminal.result(
        {"max_age_days": limits, "deleted": deleted, "forgotten": forgotten},
        lambda: terminal.table(("tenant", "deleted calls"), list(deleted.items())),
    )
