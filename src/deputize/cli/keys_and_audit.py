"""keys and audit: who may use the gateway, with what key everything is sealed, and who did what."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import click

from deputize.cli.ids import whole_id
from deputize.cli.terminal import Terminal, pass_terminal
from deputize.core.errors import BadInput, Tampered, UsageError
from deputize.store.access.api_keys import ApiKey
from deputize.store.access.audit_log import Head
from deputize.store.access.roles import GRANTABLE, Role

_ROLES = [role.value for role in Role if role is not Role.OWNER]


@click.group()
def keys() -> None:
    """API keys for the gateway, and the keys that seal the store."""


def _row(key: ApiKey) -> dict[str, object]:
    return {name: getattr(key, name) for name in key.__struct_fields__ if name != "digest"}


def _day(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d")


@keys.command()
@click.option("--role", type=click.Choice(_ROLES), required=True, help="Role of the key.")
@click.option("--tenant", default="default", show_default=True, help='The one tenant it is for, or "*".')
@click.option("--label", default="", help="Human-readable label.")
@click.option(
    "--model",
    "models",
    multiple=True,
    metavar="NAME",
    help="Model it may ask for (may be repeated; a * at the end stands for anything).",
)
@click.option(
    "--grant",
    "grants",
    multiple=True,
    type=click.Choice(sorted(right.value for right in GRANTABLE)),
    help="A right in addition to those of the role (may be repeated).",
)
@click.option("--requests-per-minute", type=float, help="Rate limit.")
@click.option("--usd-per-month", type=float, help="Budget by calendar month.")
@pass_terminal
def create(
    terminal: Terminal,
    /,
    role: str,
    tenant: str,
    label: str,
    models: tuple[str, ...],
    grants: tuple[str, ...],
    requests_per_minute: float | None,
    usd_per_month: float | None,
) -> None:
    """Make an API key. It is shown once; only a keyed hash is kept. From the first key on the gateway asks for one."""
    terminal.home.accepted_config.begin()  # from the first key on these settings are in force
    made = terminal.home.api_keys.create(
        role,
        tenant=tenant,
        label=label,
        models=models,
        grants=grants,
        requests_per_minute=requests_per_minute,
        usd_per_month=usd_per_month,
        maker=terminal.actor,
    )
    terminal.result({**_row(made.key), "text": made.text}, lambda: terminal.say(made.text))
    terminal.note(f"Key {made.key.id}, role {role}, tenant {tenant}. Keep it now: it is not shown again.")


@keys.command("list")
@pass_terminal
def list_keys(terminal: Terminal, /) -> None:
    """Every API key, revoked ones too."""
    found = terminal.home.api_keys.list()
    rows = [
        (
            k.id,
            k.role,
            k.tenant,
            k.label or None,
            _day(k.created_at),
            f"revoked {_day(k.revoked_at)}" if k.revoked_at else "open",
        )
        for k in found
    ]
    terminal.result(
        [_row(k) for k in found],
        lambda: terminal.table(("key", "role", "tenant", "label", "made", "state"), rows),
    )


@keys.command()
@click.argument("key_id", metavar="ID", default="")
@click.option(
    "--all",
    "every",
    is_flag=True,
    help="Every key, also where the file of the keys is gone, forged or an older copy.",
)
@pass_terminal
def revoke(terminal: Terminal, /, key_id: str, every: bool) -> None:
    """Revoke an API key; running gateways notice within seconds. They still require a key.

    The id may be shortened to any beginning that only one key has.
    """
    if bool(key_id) == every:
        raise UsageError("Say which key, or --all.")
    if every:
        terminal.home.api_keys.revoke_all()
        terminal.result({"revoked": "all"}, lambda: terminal.say("Every key is revoked."))
        return
    id = whole_id(key_id, (key.id for key in terminal.home.api_keys.list()), "key")
    closed = terminal.home.api_keys.revoke(id)
    terminal.result(_row(closed), lambda: terminal.say(f"Key {id} is revoked."))


@keys.command()
@click.argument("state", type=click.Choice(["on", "off"]))
@pass_terminal
def require(terminal: Terminal, /, state: str) -> None:
    """Turn the API-key requirement on or off. It is on from the first key on, even when all keys are revoked."""
    terminal.home.api_keys.require(state == "on")
    asks = "asks" if state == "on" else "does not ask"
    terminal.result({"required": state == "on"}, lambda: terminal.say(f"The gateway {asks} for an API key."))


@keys.command("rotate")
@click.option(
    "--to",
    "to",
    default="",
    metavar="PROVIDER",
    help="Who holds the key-encryption key from now on: file, env:VARIABLE, vault, aws-kms, or a plug-in.",
)
@pass_terminal
def rotate_keys(terminal: Terminal, /, to: str) -> None:
    """Change the keys that seal the store: every data key is wrapped again, no call is rewritten, the old key goes.

    Without --to a key in a file is replaced by a fresh one; a key in the environment or in a key service stays (change
    it with --to env:OTHER, or in the service), and what it wraps is replaced.
    """
    from deputize.maintenance.rotation import fresh_file, rotate
    from deputize.store.keys.registry import provider_named

    home = terminal.home
    home.require_keys()
    provider = provider_named(to, home.keys_path, os.environ, file=fresh_file()) if to else None
    done = rotate(home, provider=provider, actor=terminal.actor.name)
    for warning in done.warnings:
        terminal.note(warning)
    terminal.result(
        done,
        lambda: terminal.say(f"{done.n_data_keys} data keys are wrapped with the new key {done.kek_id}."),
    )


@keys.command("adopt")
@click.argument("folder", metavar="FOLDER", type=click.Path(exists=True, file_okay=False, path_type=Path))
@pass_terminal
def adopt(terminal: Terminal, /, folder: Path) -> None:
    """Take the keys in FOLDER, after a home with the same keys has changed them (keys rotate, erase): a copy of its
    folder keys.

    What only this home holds (runs, conversations, a store of its own) is wrapped again with them, and the old keys go.
    Keys of before a change are refused. Afterwards delete FOLDER where it is a copy.
    """
    from deputize.maintenance.key_adoption import adopt_keys, is_of_a_home

    done = adopt_keys(terminal.home, terminal.actor, folder)
    for warning in done.warnings:
        terminal.note(warning)
    rest = f"{folder} is in use by a home: leave it." if is_of_a_home(folder) else f"Delete {folder}."
    terminal.result(
        done,
        lambda: terminal.say(f"{done.n_data_keys} keys are wrapped with the new key {done.kek_id}. {rest}"),
    )


@click.group()
def audit() -> None:
    """Read and verify the audit log."""


@audit.command()
@click.option(
    "--head",
    metavar="N:HASH",
    help="A head noted earlier: shows that the log was not replaced by an older copy.",
)
@pass_terminal
def verify(terminal: Terminal, /, head: str | None) -> None:
    """Verify the audit log and report the first altered entry (exit code 1)."""
    verdict = terminal.home.audit.verify(known_head=_head(head))
    if not verdict.ok:
        raise Tampered(f"The audit log is broken at entry {verdict.broken_at}: {verdict.why}.")
    noted = (
        f" Note its head elsewhere: {verdict.head.n}:{verdict.head.hash}"
        if verdict.head and verdict.head.n
        else ""
    )
    terminal.result(
        {
            "ok": True,
            "n_entries": verdict.n_entries,
            "head": f"{verdict.head.n}:{verdict.head.hash}" if verdict.head else None,
        },
        lambda: terminal.say(f"All {verdict.n_entries} entries are as they were written.{noted}"),
    )


def _head(text: str | None) -> Head | None:
    if text is None:
        return None
    number, colon, digest = text.partition(":")
    if not colon or not number.isdigit():
        raise BadInput(
            f"{text!r} is not a head: it looks like 17:0f3a..., as `deputize audit verify` says it."
        )
    return Head(n=int(number), hash=digest)


@audit.command("list")
@pass_terminal
def list_entries(terminal: Terminal, /) -> None:
    """Every entry, oldest first."""
    entries = list(terminal.home.audit.entries())
    rows = [
        (
            e.n,
            datetime.fromtimestamp(e.at, UTC).strftime("%Y-%m-%d %H:%M:%S"),
            e.actor,
            e.action,
            e.subject,
            e.tenant or None,
        )
        for e in entries
    ]
    terminal.result(
        entries, lambda: terminal.table(("n", "at (UTC)", "who", "did what", "to what", "tenant"), rows)
    )
