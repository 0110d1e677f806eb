"""store: the calls of a home into PostgreSQL and back, and the versions of its tables there."""

from __future__ import annotations

import click
import msgspec

from deputize.cli.terminal import Terminal, pass_terminal
from deputize.core.errors import UsageError


@click.group()
def store() -> None:
    """Where the calls are kept."""


@store.command()
@click.option(
    "--to",
    "address",
    default="",
    metavar="ADDRESS",
    help="postgresql://USER@HOST/DATABASE (without a password), env:VARIABLE or service:NAME; sqlite: back into HOME/store.db.",
)
@click.option(
    "--schema", default="", metavar="NAME", help="Schema of the tables there (by default deputize)."
)
@click.option(
    "--drop-unfinished",
    is_flag=True,
    help="With --to: drop the tables that a move which was killed has filled; nothing is moved.",
)
@click.option("--version", type=int, help="Version of the tables to go to, up or back.")
@pass_terminal
def migrate(
    terminal: Terminal, /, address: str, schema: str, drop_unfinished: bool, version: int | None
) -> None:
    """Move every call to a store in PostgreSQL, or back (--to), or bring the tables there to the version that this
    release needs.

    A gateway may go on serving during a move: its calls wait in its journal until it is started again with the new
    settings. Everything is moved sealed, or nothing is; a move that was killed is ended by the same command. Before
    tables change their version, stop what uses them.
    """
    if drop_unfinished and (not address or address.removesuffix(":") == "sqlite"):
        raise UsageError("--drop-unfinished needs --to with the address of the tables in PostgreSQL.")
    if not address:
        _change_tables(terminal, version)
    elif drop_unfinished:
        _drop(terminal, address, schema)
    elif version is not None:
        raise UsageError("--to makes tables of the newest version: use --version without it.")
    elif address.removesuffix(":") == "sqlite":
        if schema:
            raise UsageError("--schema is of tables in PostgreSQL: a store.db has none.")
        _move_back(terminal)
    else:
        _move(terminal, address, schema)


def _move(terminal: Terminal, address: str, schema: str) -> None:
    from deputize.maintenance.store_migration import move_store, options_of

    options = options_of(address, schema)
    done = move_store(terminal.home, terminal.actor, options)

    def show() -> None:
        terminal.say(f"{done.n_calls:,} calls are in {done.to} now. Write into {terminal.home.config_path}:")
        terminal.say('\n[store]\nkind = "postgres"\n\n[store.options]')
        for name, value in options.items():
            terminal.say(f'{name} = "{value}"')
        terminal.say(
            "\nThen `deputize config accept` where API keys are in use, and start the gateway again. The old store stays as it "
            "was and takes nothing any more: delete it when you have seen the calls (deputize status)."
        )

    terminal.result({**msgspec.to_builtins(done), "options": options}, show)


def _drop(terminal: Terminal, address: str, schema: str) -> None:
    from deputize.maintenance.store_migration import drop_unfinished, options_of

    came_from = drop_unfinished(terminal.home, terminal.actor, options_of(address, schema))
    terminal.result(
        {"came_from": came_from},
        lambda: terminal.say(f"The tables of the move are dropped; the calls are in {came_from}, as before."),
    )


def _move_back(terminal: Terminal) -> None:
    from deputize.maintenance.store_migration import move_store_back

    done = move_store_back(terminal.home, terminal.actor)
    terminal.result(
        msgspec.to_builtins(done),
        lambda: terminal.say(
            f"{done.n_calls:,} calls are in {done.to} now. Take [store] out of {terminal.home.config_path}, then `deputize config "
            "accept` where API keys are in use, and start the gateway again. The tables in PostgreSQL stay as they were and take "
            "nothing any more, from no home: drop their schema when you have seen the calls (deputize status)."
        ),
    )


def _change_tables(terminal: Terminal, version: int | None) -> None:
    from deputize.maintenance.store_migration import migrate_tables
    from deputize.store.postgres_schema import NEWEST

    wanted = NEWEST if version is None else version
    before = migrate_tables(terminal.home, terminal.actor, wanted)
    terminal.result(
        {"version_before": before, "version": wanted},
        lambda: terminal.say(f"The tables are of version {wanted}; before: {before}."),
    )
