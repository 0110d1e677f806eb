"""erase and retention: one person, or all calls over an age, leave the store and the runs."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click
from pydantic import ValidationError

from deputize.cli.rights import tenant_of
from deputize.cli.terminal import Terminal, pass_terminal
from deputize.core.errors import BadInput, UsageError
from deputize.core.records import DEFAULT_TENANT
from deputize.store.access.roles import Right, require

if TYPE_CHECKING:
    from deputize.core.records import Route
    from deputize.maintenance.erasure import Erasure
    from deputize.maintenance.find_calls import Wanted
    from deputize.maintenance.lineage import TrainedOnErased


@click.command()
@click.option("--origin", metavar="ID", help="Who asked, as it was sent (not the pseudonym).")
@click.option(
    "--episode", "episodes", multiple=True, metavar="ID", help="A run of the agent (may be repeated)."
)
@click.option("--conversation", metavar="ID", help="The id of one of its responses.")
@click.option(
    "--find",
    "texts",
    multiple=True,
    metavar="TEXT",
    help="Calls in which a text stands as whole words, whoever they are from: a name, an address (may be repeated).",
)
@click.option("--tenant", default=DEFAULT_TENANT, show_default=True, metavar="NAME", help="Whose calls.")
@click.option("--dry-run", is_flag=True, help="Count what would be erased, and erase nothing.")
@click.option(
    "--keep-routes", is_flag=True, help="Do not close the routes of specialists trained on the calls."
)
@click.option(
    "--keep-backups",
    is_flag=True,
    help="Do not change the wrapping key: older copies of the store stay readable, what was erased in them too.",
)
@pass_terminal
def erase(
    terminal: Terminal,
    /,
    origin: str | None,
    episodes: tuple[str, ...],
    conversation: str | None,
    texts: tuple[str, ...],
    tenant: str,
    dry_run: bool,
    keep_routes: bool,
    keep_backups: bool,
) -> None:
    """Erase stored calls of a person, a run of the agent or a conversation, or those that mention a text.

    They leave the store, the runs and older copies of both: their keys are destroyed, or they are overwritten, their
    examples leave the artifacts of all runs, and the wrapping key is changed, so that a copy of the home made earlier
    opens nothing without the earlier copy of keys/. Make a new backup afterwards. Where nothing is found nothing is
    changed. With an origin go the steps of its runs that name nobody, and what others went on with. Routes of
    specialists that were trained on the calls are closed; the specialists, and files that hold the calls outside the
    home, are named, with the commands to make them again.
    """
    from deputize.cli.report import mark_erased
    from deputize.maintenance import erasure

    home, whose = terminal.home, tenant_of(terminal, tenant)
    wanted = _wanted(origin, episodes, conversation, texts)
    home.require_keys()
    if dry_run:
        _count_only(terminal, wanted, whose)
        return
    done = erasure.erase(home, terminal.actor, wanted, tenant=whose)
    forgotten = erasure.forget_unless_busy(home, terminal.note) or {}
    mark_erased(home.path, done.trained_on)
    folders = [one.path for one in done.trained_on]
    routes = _routes_of(terminal, folders)
    closed = (
        []
        if keep_routes
        else erasure.close_routes(home, terminal.actor, folders, "calls it was trained on were erased")
    )
    changes_key = not keep_backups and not (done.is_empty and not any(forgotten.values()))
    _say_what_was_missed(terminal)
    _finish(terminal, changes_key)
    offer = _offer(terminal, done.trained_on, routes, [r.id for r in closed])
    document = {
        "tenant": whose,
        "origin": done.erased.origin,
        "n_calls": len(done.erased.call_ids),
        "n_looked_at": done.n_looked_at,
        "n_conversations": done.n_conversations,
        "specialists": folders,
        "routes": list(dict.fromkeys(r.id for r in routes)),
        "closed": [r.id for r in closed],
        "forgotten": forgotten,
        "older_copies_readable": not changes_key,
        "copies": done.copies,
        "retrain": offer,
    }
    about = _about_copies(keep_backups, changes_key)
    terminal.result(document, lambda: _show(terminal, done, wanted, forgotten, routes, offer, about))


def _wanted(
    origin: str | None, episodes: tuple[str, ...], conversation: str | None, texts: tuple[str, ...]
) -> Wanted:
    """The subject that the options name.

    Raises:
        UsageError: they ask for nothing, or one of them is there and says nothing, as where a variable is empty.
    """
    from deputize.maintenance.find_calls import Wanted, check_wanted

    given = [one for one in (origin, conversation, *episodes, *texts) if one is not None]
    if not given:
        raise UsageError("Say what to erase: --origin, --episode, --conversation or --find.")
    wanted = Wanted(origin=origin or "", episodes=episodes, conversation=conversation or "", texts=texts)
    try:
        if not all(given):
            raise BadInput("An option is there and says nothing.")
        check_wanted(wanted)
    except BadInput as error:
        raise UsageError(str(error)) from None
    return wanted


def _count_only(terminal: Terminal, wanted: Wanted, tenant: str) -> None:
    """Says how many calls would be erased, and erases none."""
    from msgspec import structs

    from deputize.maintenance.erasure import pseudonym_of
    from deputize.maintenance.find_calls import find_calls

    home = terminal.home
    require(terminal.actor, Right.ERASE, tenant=tenant)
    wanted = structs.replace(wanted, origin=pseudonym_of(home, wanted.origin, tenant))
    found = find_calls(home.store.calls(tenant=tenant), wanted)
    n_calls = len(found.call_ids)
    document = {"tenant": tenant, "n_calls": n_calls, "n_looked_at": found.n_looked_at, "dry_run": True}
    terminal.result(
        document,
        lambda: terminal.say(
            f"{n_calls} of {found.n_looked_at} calls of the tenant {tenant} would be erased."
        ),
    )


def _say_what_was_missed(terminal: Terminal) -> None:
    """Says that calls may have come in after the search. Of an origin the store remembers that it is erased, and takes
    no call of it, nor a step of its runs that names nobody; but not of anything else."""
    from deputize.store.recording.journal_backlog import backlog_of

    if backlog_of(terminal.home.journals).n_files:
        terminal.note(
            "A gateway is recording: calls of the last seconds may not have been in the store yet. Use this command once more."
        )


def _finish(terminal: Terminal, changes_key: bool) -> None:
    """Changes the wrapping key where that is due, overwrites old pages, and says what could not be reached."""
    from deputize.maintenance.erasure import end_erasure
    from deputize.maintenance.rotation import rotate
    from deputize.store.recording.journal import set_aside

    home = terminal.home
    warnings: tuple[str, ...] = ()
    if changes_key:
        warnings = rotate(home, actor=terminal.actor.name).warnings
    is_compact = home.store.compact()
    home.close()
    if not is_compact:
        warnings += (
            "Another program is reading the store, so pages from before the erasure are still in store.db-wal: use this"
            " command once more when it has ended.",
        )
    if damaged := set_aside(home.journals):
        warnings += (
            f"{len(damaged)} damaged journal files of earlier crashes may hold calls of anybody; delete them when they"
            f" are not needed any more: {', '.join(map(str, damaged))}",
        )
    for warning in warnings:
        terminal.note(warning)
    end_erasure(home)


def _show(
    terminal: Terminal,
    done: Erasure,
    wanted: Wanted,
    forgotten: dict[str, int],
    routes: Sequence[Route],
    offer: Sequence[str],
    about_copies: str,
) -> None:
    also = f" and {done.n_conversations} kept conversations" if done.n_conversations else ""
    terminal.say(f"{len(done.erased.call_ids)} calls{also} erased.")
    if not done.erased.call_ids:
        terminal.say(_nothing_found(done, wanted))
    for run_id, n_examples in forgotten.items():
        terminal.say(f"{n_examples} examples taken out of run {run_id}.")
    for copy in done.copies:
        terminal.say(copy.sentence)
    served = {r.specialist for r in routes}
    for one in done.trained_on:
        unused = "" if one.path in served else f" No route uses it: {terminal.home.path / one.path} can go."
        terminal.say(one.sentence + unused)
    if offer:
        closed = (
            "Its routes are closed, and the LLM answers. "
            if not any(" close " in line for line in offer)
            else ""
        )
        terminal.say(f"{closed}To train again without the calls:")
        for line in offer:
            terminal.say(f"  {line}")
    terminal.say(about_copies)


def _about_copies(keep_backups: bool, changes_key: bool) -> str:
    """The sentence about copies of the store that were made before."""
    if changes_key:
        return (
            "Copies of the store made before now open only with a copy of keys/ from before: destroy that one, and make a new"
            " backup."
        )
    if keep_backups:
        return "Copies of the store made before now can still be read: `deputize keys rotate` ends that."
    return (
        "Nothing was destroyed, so the keys are as they were and backups stay readable. Where an older one may hold what was"
        " deleted since, `deputize keys rotate` ends that."
    )


def _nothing_found(done: Erasure, wanted: Wanted) -> str:
    """The sentence about an erasure that met no call: what was looked at, and what was not."""
    looked = [
        *(
            ["calls whose header or body names this origin, and the steps of their runs that name nobody"]
            * bool(wanted.origin)
        ),
        *(["calls of these runs"] * bool(wanted.episodes)),
        *(["this conversation"] * bool(wanted.conversation)),
        *(["the texts of all calls"] * bool(wanted.texts)),
    ]
    missed = [
        *(["calls that only mention the person (--find TEXT)"] * (not wanted.texts)),
        *(["calls that name nobody (--episode, --conversation)"] * (not wanted.episodes)),
        "other tenants",
    ]
    return (
        f"Looked for among {done.n_looked_at} calls of the tenant {done.erased.tenant}: {'; '.join(looked)}. "
        f"Not looked at: {'; '.join(missed)}. Are id and --tenant as they were sent?"
    )


def _routes_of(terminal: Terminal, folders: list[str]) -> list[Route]:

    file = terminal.home.routes()
    return [r for r in (*file.routes, *file.challengers, *file.previous) if r.specialist in folders]


def _offer(
    terminal: Terminal, affected: Sequence[TrainedOnErased], routes: Sequence[Route], closed: Sequence[str]
) -> list[str]:
    """Command lines that retrain what was trained on erased calls: with this home, and with the settings of its run.

    A route that a person closes stays closed when it is published again, so one that is open now is opened again.
    """
    used = [t for t in affected if t.path in {r.specialist for r in routes}]
    if not used:
        return []
    open_ids = list(dict.fromkeys(r.id for r in routes if r.state in ("live", "canary")))
    return [
        *(_line(terminal, "route", "close", id) for id in open_ids if id not in closed),
        _line(terminal, "convert", *_options(terminal, max(t.run_id for t in used))),
        *(_line(terminal, "route", "promote", id, "--to", "live") for id in open_ids),
    ]


def _line(terminal: Terminal, *words: str) -> str:
    home = ("--home", terminal.given_home) if terminal.given_home else ()
    return shlex.join(("deputize", *home, *words))


def _options(terminal: Terminal, run_id: str) -> list[str]:
    """Options with which `convert` trains as that run did, beyond config.toml and the defaults."""
    from deputize.cli.convert import run_options
    from deputize.core.config import Convert
    from deputize.pipeline.run import read_state

    try:
        now = Convert.model_validate(terminal.home.table("convert"))
    except (BadInput, ValidationError):
        # the erasure is done; `convert` will say what is wrong with config.toml
        now = Convert.model_validate({})
    stands = now.model_dump(mode="json")
    then: dict[str, Any] = read_state(terminal.home, run_id).settings
    words: list[str] = []
    for option in reversed(run_options(click.Command("convert")).params):
        name = str(option.name)
        if then.get(name) is None or then[name] == stands[name]:
            continue
        if isinstance(then[name], bool):
            words.append((option.opts if then[name] else option.secondary_opts)[0])
            continue
        values = then[name] if isinstance(then[name], list) else [then[name]]
        words += [word for value in values for word in (option.opts[0], str(value))]
    return words


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
