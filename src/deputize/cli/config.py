"""config: which settings of the home are in force, and accepting changed ones."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from deputize.cli.terminal import Terminal, pass_terminal
from deputize.core.errors import BadInput

if TYPE_CHECKING:
    from deputize.cli.settings_in_force import SettingInForce


@click.group()
def config() -> None:
    """The settings of a home that has API keys: a changed config.toml takes effect when it is accepted."""


@config.command()
@click.option("--all", "with_defaults", is_flag=True, help="Settings that have their default too.")
@pass_terminal
def show(terminal: Terminal, /, with_defaults: bool) -> None:
    """List the settings of config.toml, and say whether they are in force, since when and by whom, and which have
    changed.

    Sensitive terms are counted, not shown. --json gives the defaults as well.
    """
    from deputize.cli.settings_in_force import settings_in_force
    from deputize.files import read_toml

    rows = settings_in_force(read_toml(terminal.home.config_path))
    settings = terminal.home.accepted_config
    digest, entry, in_force = settings.state()
    changed = () if in_force else settings.changed()
    document = {
        "sha256": digest,
        "in_force": in_force,
        "since": entry.at if entry is not None else None,
        "by": entry.actor if entry is not None else None,
        "changed": list(changed),
        "settings": [row._asdict() for row in rows],
    }

    def say() -> None:
        shown = [row for row in rows if row.is_set or with_defaults]
        if shown:
            terminal.table(("setting", "value", ""), [_row(row) for row in shown])
        else:
            terminal.say(
                f"{terminal.home.config_path} sets nothing: every setting has its default (--all lists them)."
            )
        if entry is None:
            terminal.say("The settings have not been used yet.")
            return
        since = datetime.fromtimestamp(entry.at, UTC).strftime("%Y-%m-%d %H:%M UTC")
        if in_force:
            terminal.say(f"The settings are in force, last noted {since} by {entry.actor}.")
        else:
            terminal.say(f"The settings differ from those in force since {since}: {', '.join(changed)}.")

    terminal.result(document, say)


def _row(row: SettingInForce) -> tuple[str, str, str]:
    value = json.dumps(row.value, ensure_ascii=False)
    return f"[{row.table}] {row.name}", value, "" if row.is_set else "default"


@config.command()
@pass_terminal
def check(terminal: Terminal, /) -> None:
    """Name every mistake in config.toml, with a proposal for a misspelt setting. Exit code 3 where there is one."""
    from deputize.cli.settings_check import mistakes
    from deputize.files import read_toml

    path = terminal.home.config_path
    found = mistakes(terminal.home.path, read_toml(path))
    none = f"{path}: no mistakes." if path.exists() else f"There is no {path}: every setting has its default."

    def say() -> None:
        for line in found or [none]:
            terminal.say(line)

    terminal.result({"path": str(path), "mistakes": found}, say)
    if found:
        raise click.exceptions.Exit(BadInput.exit_code)


@config.command()
@pass_terminal
def accept(terminal: Terminal, /) -> None:
    """Put config.toml as it stands now in force. The audit log says who did it, and which settings changed."""
    changed = terminal.home.accepted_config.accept()
    words = f"Accepted; changed: {', '.join(changed)}." if changed else "Accepted; nothing has changed."
    terminal.result({"changed": list(changed)}, lambda: terminal.say(words))
    terminal.note("A running gateway reads its settings when it is started again.")
