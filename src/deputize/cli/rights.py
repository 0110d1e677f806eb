"""Which right each command needs, and who is using it. A command without a line here is denied to everybody.

Without DEPUTIZE_KEY a command acts for the owner of the home: whoever may read its files and its key. Where people
share an account, each sets DEPUTIZE_KEY to an API key of their own (`deputize keys create --role ...`); then the key's
role decides, and the audit log names the key.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from deputize.cli.terminal import Terminal
from deputize.core.errors import AccessDenied, StoreError
from deputize.core.records import EVERY_TENANT
from deputize.home import Home
from deputize.pipeline.stage_table import STAGES
from deputize.store.access.roles import Actor, Right, owner, require

KEY_VARIABLE = "DEPUTIZE_KEY"

RIGHTS: dict[str, Right | None] = {
    "demo": None,
    "init": Right.MANAGE_KEYS,
    "doctor": Right.SEE_STATUS,
    "completion": None,
    "import": Right.WRITE_CALLS,
    "convert": Right.RUN_STAGES,
    **{stage.step: stage.right for stage in STAGES},
    "report": Right.SEE_STATUS,
    "dashboard": Right.SEE_STATUS,
    "backup": Right.MANAGE_KEYS,
    "restore": None,
    "publish": Right.MANAGE_KEYS,
    "store migrate": Right.MANAGE_KEYS,
    "status": Right.SEE_STATUS,
    "feedback": Right.WRITE_FEEDBACK,
    "tail": Right.SEE_STATUS,
    "runs list": Right.SEE_STATUS,
    "runs diff": Right.SEE_STATUS,
    "runs fetch": Right.RUN_STAGES,
    "serve": Right.RUN_GATEWAY,
    "specialists serve": Right.RUN_GATEWAY,
    "mcp": Right.RUN_GATEWAY,
    "route list": Right.SEE_STATUS,
    "route show": Right.SEE_STATUS,
    "route verify": Right.RUN_STAGES,
    "route recertify": Right.RUN_STAGES,
    "route explain": Right.SEE_STATUS,
    "route promote": Right.PROMOTE_ROUTES,
    "route rollback": Right.PROMOTE_ROUTES,
    "route close": Right.PROMOTE_ROUTES,
    "export": Right.PROMOTE_ROUTES,
    "shadow start": Right.PROMOTE_ROUTES,
    "shadow show": Right.SEE_STATUS,
    "tasks discover": None,
    "tasks list": Right.READ_CURATED,
    "tasks merge": Right.RUN_STAGES,
    "tasks split": Right.RUN_STAGES,
    "tasks rename": Right.RUN_STAGES,
    "tasks hide": Right.RUN_STAGES,
    "tasks field": Right.RUN_STAGES,
    "tasks measure": Right.RUN_STAGES,
    "dataset card": Right.SEE_STATUS,
    "dataset dropped": Right.READ_CURATED,
    "dataset restore": Right.RUN_STAGES,
    "dataset relabel": Right.RUN_STAGES,
    "dataset expand": Right.RUN_STAGES,
    "dataset export": Right.READ_CURATED,
    "watch": Right.RUN_STAGES,
    "models list": None,
    "models show": None,
    "models fetch": None,
    "models add": None,
    "privacy scan": None,
    "privacy train": Right.RUN_STAGES,
    "keys create": Right.MANAGE_KEYS,
    "keys list": Right.MANAGE_KEYS,
    "keys revoke": Right.MANAGE_KEYS,
    "keys require": Right.MANAGE_KEYS,
    "keys rotate": Right.ROTATE_KEYS,
    "keys adopt": Right.ROTATE_KEYS,
    "config show": Right.SEE_STATUS,
    "config check": Right.SEE_STATUS,
    "config accept": Right.MANAGE_KEYS,
    "audit verify": Right.READ_AUDIT,
    "audit list": Right.READ_AUDIT,
    "erase": Right.ERASE,
    "retention": Right.SET_RETENTION,
    "subject export": Right.EXPORT_SUBJECT,
    "subject record": Right.SEE_STATUS,
    "raw ask": Right.EXPORT_RAW,
    "raw list": Right.SEE_STATUS,
    "raw approve": Right.APPROVE_EXPORT,
    "raw export": Right.EXPORT_RAW,
}
"""Command -> right; None for what touches no home."""

OF_ONE_TENANT = frozenset(
    {
        "convert",
        *(stage.step for stage in STAGES),
        "report",
        "dashboard",
        "status",
        "feedback",
        "tail",
        "runs list",
        "runs diff",
        "route list",
        "route show",
        "route promote",
        "route rollback",
        "route close",
        "export",
        "shadow start",
        "tasks list",
        "dataset card",
        "dataset dropped",
        "dataset relabel",
        "dataset expand",
        "dataset export",
        "erase",
        "subject export",
        "raw ask",
        "raw approve",
        "raw export",
        "raw list",
    }
)
"""Commands that look at the tenant themselves; all others are about the whole home, and denied to a key of one
tenant."""


def acting(home: Home) -> Actor:
    """Who uses the command line.

    Raises:
        NotAuthenticated: DEPUTIZE_KEY is no key of this home.
        AccessDenied: DEPUTIZE_KEY is set and the home has no keys at all.
    """
    text = os.environ.get(KEY_VARIABLE, "")
    if not text:
        return owner()
    try:
        home.require_keys()
    except StoreError as error:
        raise AccessDenied(f"{KEY_VARIABLE} is set, and it is no key of {home.path}. {error}") from error
    return home.api_keys.verify(text).actor


def check(command: str, actor: Actor, home: Home) -> None:
    """Raises AccessDenied, and has it in the audit log, where the actor may not use the command."""
    if command not in RIGHTS:
        raise AccessDenied(f"`deputize {command}` has no right assigned to it, so nobody may use it.")
    right = RIGHTS[command]
    if right is None:
        return
    try:
        require(actor, right)
        if actor.tenant != EVERY_TENANT and command not in OF_ONE_TENANT:
            raise AccessDenied(
                f"{actor.name} is for the tenant {actor.tenant} only; `deputize {command}` is about every tenant."
            )
    except AccessDenied:
        home.require_keys()
        home.audit.append("denied", actor=actor.name, subject=command, detail={"right": right.value})
        raise


tenant_option = click.option(
    "--tenant", default="", metavar="NAME", help="Only what is of this tenant (default: of each)."
)


def tenant_of(terminal: Terminal, asked: str = "") -> str:
    """The tenant that a command is about: the one asked for, else the actor's own; "" where that is all of them.

    Raises:
        AccessDenied: the actor is for another tenant; that is in the audit log.
    """
    actor = terminal.actor
    if actor.tenant == EVERY_TENANT:
        return asked
    if asked and asked != actor.tenant:
        home = terminal.home
        home.require_keys()
        home.audit.append("denied", actor=actor.name, tenant=asked, detail={"why": "another tenant"})
        raise AccessDenied(f"{actor.name} is for the tenant {actor.tenant} only, not for {asked}.")
    return actor.tenant


def guarded(command: str, callback: Callable[..., Any]) -> Callable[..., Any]:
    """The callback of a command, behind the check."""

    @wraps(callback)
    def checked(*arguments: Any, **options: Any) -> Any:
        terminal = click.get_current_context().ensure_object(Terminal)
        # whoever holds the home may do everything in it: nothing to look up
        if os.environ.get(KEY_VARIABLE) or command not in RIGHTS:
            from deputize.store.access.audit_log import acts_as

            actor = acting(terminal.home) if RIGHTS.get(command) is not None else owner()
            check(command, actor, terminal.home)
            terminal.actor = actor
            with acts_as(actor.name):
                return callback(*arguments, **options)
        return callback(*arguments, **options)

    return checked
