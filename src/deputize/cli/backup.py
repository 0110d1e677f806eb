"""backup and restore: a home as one file, and back."""

from __future__ import annotations

from pathlib import Path

import click

from deputize.cli.terminal import Terminal, pass_terminal


@click.command()
@click.argument("out", metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "--with-keys",
    is_flag=True,
    help="Also the keys: whoever has the file can then read every call. Without them keep a copy of HOME/keys apart.",
)
@pass_terminal
def backup(terminal: Terminal, /, out: Path, with_keys: bool) -> None:
    """Write the home into a new FILE (tar), sealed as it is; a gateway may go on serving.

    An erasure changes the key of keys: it makes older backups without their keys useless, and asks for a new one.
    """
    from deputize.maintenance.backup import back_up

    with terminal.progress() as progress:
        done = back_up(terminal.home, out, with_keys=with_keys, progress=progress)
    size = out.stat().st_size
    document = {"path": str(out), "n_files": len(done.sha256), "bytes": size, "with_keys": with_keys}

    if terminal.home.store_settings().kind not in ("sqlite", "memory"):
        terminal.note(
            "The calls are in another store, and not in this file: back that up by its own means, such as pg_dump."
        )

    def show() -> None:
        terminal.say(f"{len(done.sha256):,} files, {size / 1e6:,.1f} MB in {out}.")
        if with_keys:
            terminal.say("It holds the keys: keep it as you would keep the calls themselves.")
        else:
            terminal.say(
                f"It is useless without {terminal.home.keys_path}: keep a copy of that apart from it."
            )

    terminal.result(document, show)


@click.command()
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@pass_terminal
def restore(terminal: Terminal, /, file: Path) -> None:
    """Make a home (--home) of a backup. The folder must be new or empty; a damaged backup leaves nothing behind."""
    from deputize.maintenance.backup import restore as restore_home

    home = terminal.home.path
    with terminal.progress() as progress:
        done = restore_home(file, home, progress=progress)
    document = {"home": str(home), "n_files": len(done.sha256), "with_keys": done.with_keys}

    def show() -> None:
        terminal.say(f"{len(done.sha256):,} files in {home}.")
        if not done.with_keys:
            terminal.say(
                f"Put the keys back before you use it: the copy of keys/ belongs in {home / 'keys'}."
            )

    terminal.result(document, show)
