"""feedback: how a run of an agent, or a call, turned out, and which answer would have been right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from deputize.cli.ids import whole_id
from deputize.cli.rights import tenant_of, tenant_option
from deputize.cli.terminal import Terminal, pass_terminal
from deputize.core.errors import BadInput, UsageError
from deputize.core.records import Call, Message
from deputize.store.base import Store

MOST_CALLS_SHOWN = 8


@click.command()
@click.argument("id", metavar="EPISODE|CALL")
@click.option("--success/--failure", "success", default=None, help="Whether it ended well.")
@click.option("--score", type=float, help="A number, such as a rating or a reward.")
@click.option("--metric", default="score", show_default=True, metavar="NAME", help="Name of the number.")
@click.option(
    "--correction",
    metavar="TEXT|@FILE",
    help="The right answer to one call: text, or an assistant message as JSON; @FILE reads it from a file.",
)
@tenant_option
@pass_terminal
def feedback(
    terminal: Terminal,
    /,
    id: str,
    success: bool | None,
    score: float | None,
    metric: str,
    correction: str | None,
    tenant: str,
) -> None:
    """Tell how an episode or a call turned out, or which answer would have been right.

    Failed episodes are not trained on. A correction takes the place of the LLM's answer where the next conversion
    trains; its certificates still compare with what the LLM said. The id may be shortened to any beginning that only
    one has.
    """
    if success is None and score is None and correction is None:
        raise UsageError("There is nothing to tell: give --success, --failure, --score or --correction.")
    whose, home = tenant_of(terminal, tenant), terminal.home
    home.require_keys()
    message = read_correction_option(correction) if correction is not None else None
    store = home.store
    episode, call = find(store, id, whose or None, needs_call=message is not None)
    about: dict[str, Any] = {"episode": episode} if call is None else {"call_id": call.id}
    told: list[dict[str, Any]] = []
    if success is not None:
        told.append({"metric": "success", "value": float(success)})
    if score is not None:
        told.append({"metric": metric, "value": score})
    for one in told:
        store.add_feedback(**about, **one, tenant=whose)
    if message is not None and call is not None:
        store.add_feedback(call_id=call.id, metric="correction", value=1.0, tenant=whose, correction=message)
        told.append({"call_id": call.id, "correction": message})
    by_specialist = call is not None and call.decision is not None and call.decision.served_by == "slm"

    def show() -> None:
        what = f"episode {episode}" if call is None else f"call {call.id}"
        terminal.say(f"Noted for {what}. `deputize convert` learns from it.")
        if message is not None and by_specialist:
            terminal.say("A specialist answered that call, so its correction is kept, and not trained on.")

    terminal.result({**about, "feedback": told}, show)


def find(store: Store, given: str, tenant: str | None, *, needs_call: bool) -> tuple[str, Call | None]:
    """The episode that is meant, or "" and the one call that is meant.

    A whole id is looked up; all calls are read only for the beginning of one, and for the calls of an episode.

    Args:
        store: of the home.
        given: an episode or a call, or the beginning of one.
        tenant: whose; None: everybody's.
        needs_call: one call is meant, so that an episode with one call will do.

    Raises:
        BadInput: there is none, or more than one.
    """
    whose = store.tenants() if tenant is None else [tenant]
    is_episode = any(store.has_episode(one, given) for one in whose)
    if is_episode and not needs_call:
        return given, None
    if not is_episode:
        (call,) = store.get([given])
        if call is not None and call.tenant in whose:
            return "", call
    return _found_by_beginning(store, given, tenant, needs_call=needs_call)


def _found_by_beginning(
    store: Store, given: str, tenant: str | None, *, needs_call: bool
) -> tuple[str, Call | None]:
    by_episode: dict[str, list[Call]] = {}
    by_id: dict[str, Call] = {}
    for call in store.calls(tenant=tenant):
        if call.id.startswith(given):
            by_id[call.id] = call
        if call.episode.startswith(given) and call.episode:
            by_episode.setdefault(call.episode, []).append(call)
    known = [*by_episode, *by_id]
    if not known:
        raise BadInput(f"There is no episode or call {given!r} in this home.")
    id = whole_id(given, known, "episode or call")
    if id not in by_episode:
        return "", by_id[id]
    if not needs_call:
        return id, None
    calls = by_episode[id]
    if len(calls) > 1:
        listed = ", ".join(f"{c.id} ({c.site or c.agent or c.model})" for c in calls[:MOST_CALLS_SHOWN])
        raise BadInput(f"A correction is about one call, and episode {id} has {len(calls)}: {listed}.")
    return "", calls[0]


def read_correction_option(given: str) -> Message:
    """The right answer as an assistant message.

    Raises:
        BadInput: the file cannot be read, or it is no answer.
    """
    from deputize.gateway.feedback import read_correction

    text = given
    if given.startswith("@"):
        try:
            text = Path(given[1:]).read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise BadInput(f"{given[1:]} cannot be read: {error}") from error
    try:
        decoded = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        decoded = None
    is_message = isinstance(decoded, dict) and ("tool_calls" in decoded or decoded.get("role") == "assistant")
    return read_correction(decoded if is_message else text)
