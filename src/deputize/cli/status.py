"""status: what is recorded and what it is enough for, the routes, today's saving, and what to do next."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any

import click
import msgspec

from deputize.cli.rights import tenant_of, tenant_option
from deputize.cli.terminal import Terminal, pass_terminal, shortened
from deputize.core.certificate_age import DAY_S
from deputize.core.errors import BadInput, StoreError
from deputize.core.percentages import percent
from deputize.core.records import Route
from deputize.core.sites import Site
from deputize.operations.route_rows import state_words
from deputize.specialists.serving.worker_troubles import read_troubles
from deputize.store.recording.journal_backlog import backlog_of

if TYPE_CHECKING:
    from deputize.operations.elsewhere import Elsewhere
    from deputize.pipeline.readiness import CallCounts, Served, SiteReadiness
    from deputize.stages.refine.route_evidence import RouteEvidence


_STORE_S = 3.0
"""Whoever asks how things are wants to hear soon that the server of the calls does not answer."""


@click.command()
@tenant_option
@pass_terminal
def status(terminal: Terminal, /, tenant: str) -> None:
    """Say what is recorded, what it is enough for, how the routes do, what was saved today, and what to do next.

    Reads every stored call: about a second for a few thousand. Today begins at midnight UTC. Where the calls cannot be
    read (a full disk, a server that is away), it says how the routes are all the same, and ends with that error.
    Hosts of specialists and the object store are asked once.
    """
    home, whose = terminal.home, tenant_of(terminal, tenant)
    if not (home.keys_path / "ring.json").exists():
        terminal.result(
            {"home": str(home.path), "n_calls": 0, "sites": [], "routes": [], "next": _BEGIN},
            lambda: terminal.say(f"Nothing is recorded in {home.path} yet.\nNext: {_BEGIN}"),
        )
        return
    try:
        counts = _counts(terminal, whose)
    except StoreError as error:
        _show_without_calls(terminal, whose, error)
        if terminal.json:  # the document names it
            raise click.exceptions.Exit(error.exit_code) from None
        raise
    routes = _route_rows(terminal, whose, counts)
    next_step = _next(counts, routes)
    elsewhere = _elsewhere(terminal, whose)
    troubles = read_troubles(home.path).sentences(home.now())
    document = {
        "home": str(home.path),
        "n_calls": counts.n_calls,
        "n_episodes": counts.n_episodes,
        "newest_s": counts.newest_s,
        "journal": msgspec.to_builtins(backlog_of(home.journals)),
        "sites": [_site_row(one) for one in counts.sites],
        "routes": routes,
        "elsewhere": None if elsewhere is None else msgspec.to_builtins(elsewhere),
        "worker": troubles,
        "today": _money(counts.today.get("")),
        "next": next_step,
    }

    def show() -> None:
        _show_calls(terminal, counts)
        _show_routes(terminal, routes)
        for sentence in troubles:
            terminal.say(sentence)
        _say_elsewhere(terminal, elsewhere, terminal.say)
        _show_today(terminal, counts, next_step)

    terminal.result(document, show)


def _show_without_calls(terminal: Terminal, tenant: str, problem: StoreError) -> None:
    """Says how the routes and journals are, without a call; nothing is written for it."""
    rows: list[dict[str, Any]] | None = None
    elsewhere: Elsewhere | None = None
    with suppress(StoreError, BadInput):  # one problem is said, not two
        rows = _route_rows(terminal, tenant, None)
        elsewhere = _elsewhere(terminal, tenant)
    troubles = read_troubles(terminal.home.path).sentences(terminal.home.now())
    document = {
        "home": str(terminal.home.path),
        "problem": str(problem),
        "journal": msgspec.to_builtins(backlog_of(terminal.home.journals)),
        "routes": rows,
        "elsewhere": None if elsewhere is None else msgspec.to_builtins(elsewhere),
        "worker": troubles,
    }

    def show() -> None:
        _say_behind(terminal, terminal.note)
        _show_routes(terminal, rows or [])
        for sentence in troubles:
            terminal.note(sentence)
        _say_elsewhere(terminal, elsewhere, terminal.note)

    terminal.result(document, show)


_BEGIN = (
    "`deputize serve --upstream URL` records an agent's calls; `deputize import LOG` reads a log of them."
)


def _counts(terminal: Terminal, tenant: str) -> CallCounts:
    from deputize.cli.convert import settings
    from deputize.pipeline.readiness import CallCounter
    from deputize.scoring.costs import load_prices

    home = terminal.home
    midnight = home.now() // DAY_S * DAY_S
    counter = CallCounter(settings(home, {}), load_prices(home.path), os.cpu_count() or 1, midnight)
    with closing(home.open_store(busy_timeout_s=_STORE_S)) as store:
        for one in [tenant] if tenant else store.tenants():
            counter.add(store.calls(tenant=one), one)
    return counter.counts()


def _route_rows(terminal: Terminal, tenant: str, counts: CallCounts | None) -> list[dict[str, Any]]:
    from deputize.gateway.evidence_file import read_evidence

    file = terminal.home.routes()
    routes = [one for one in file.routes if not tenant or one.tenant == tenant]
    known = read_evidence(terminal.home.path, terminal.home.evidence_seal) if routes else {}
    return [_route_row(terminal, one, known.get((one.id, one.specialist)), counts) for one in routes]


def _elsewhere(terminal: Terminal, tenant: str) -> Elsewhere | None:
    """Hosts and object store of the home as they are now; None where it has neither."""
    home = terminal.home
    if not home.serving_settings().hosts and not home.objects_settings().url:
        return None
    from deputize.operations.elsewhere import look_elsewhere

    return look_elsewhere(home, [one for one in home.routes().routes if not tenant or one.tenant == tenant])


def _say_elsewhere(terminal: Terminal, found: Elsewhere | None, say: Callable[[str], None]) -> None:
    """How the hosts of specialists and the object store are; the routes above say what is meant, not what works."""
    if found is None:
        return
    for host in found.hosts:
        why = {
            "answers": f"answers for {len(host.specialists)} specialists",
            "not ready": "is there, and answers for none yet: it loads them, starts its worker again, or ends",
            "away": f"does not answer: {host.why}",
        }
        say(f"Host of specialists {host.address} {why[host.state]}")
    if found.unserved:
        say(f"No host answers for {', '.join(found.unserved)} now: the LLM does.")
    if found.published:
        limits = terminal.home.objects_settings()
        say(
            f"What is published cannot be used: {found.published} Where that lasts, a gateway lets the LLM answer after "
            f"{limits.max_age_s:.0f} s and refuses API keys after {limits.keys_max_age_s:.0f} s."
        )


def _site_row(one: SiteReadiness) -> dict[str, Any]:
    """A site as JSON shows it."""
    return {
        "site": one.site.name,
        "agent": one.site.agent,
        "tenant": one.tenant,
        "audience": one.site.audience,
        "n_calls": one.site.n_calls,
        "n_code_calls": one.site.n_code,
        "n_episodes": one.n_episodes,
        "n_episodes_wanted": one.n_wanted or None,
        "verdict": one.verdict,
        "feasibility": msgspec.to_builtins(one.feasibility),
    }


def _route_row(
    terminal: Terminal, one: Route, evidence: RouteEvidence | None, counts: CallCounts | None
) -> dict[str, Any]:
    """A route with the evidence of its calls, as JSON shows it."""
    n_compared = evidence.n_audits if evidence is not None else 0
    n_differed = evidence.n_specialist_differed if evidence is not None else 0
    made_s = one.certificate.created_s if one.certificate is not None else 0.0
    return {
        "id": one.id,
        "task": one.task_id,
        "task_name": one.task_name,
        "tenant": one.tenant,
        "state": one.state,
        "state_words": state_words(one),
        "share": one.share,
        "n_compared": n_compared,
        "agreement": (n_compared - n_differed) / n_compared if n_compared else None,
        "age_days": (terminal.home.now() - made_s) / DAY_S if made_s else None,
        "today": None if counts is None else _money(counts.today.get(one.id)),
    }


def _money(served: Served | None) -> dict[str, Any]:
    """Today's calls and money as JSON shows them."""
    if served is None:
        return {"n_calls": 0, "n_served": 0, "saved_usd": 0.0, "llm_only_usd": 0.0}
    return {
        "n_calls": served.n_calls,
        "n_served": served.n_served,
        "saved_usd": served.saved_usd,
        "llm_only_usd": served.llm_usd + served.avoided_usd,
    }


def _next(counts: CallCounts, routes: list[dict[str, Any]]) -> str:
    """The next command, with the reason."""
    ready = [one for one in counts.sites if one.verdict == "enough"]
    if not counts.n_calls:
        return _BEGIN
    if routes and all(route["state"] in ("closed", "rolled_back") for route in routes):
        return "No route serves: `deputize route list`, then `deputize route promote ID`, or convert again."
    if routes:
        return "`deputize route show ID` says what a route waits for, `deputize report` what was found."
    if not any(one.feasibility for one in counts.sites):
        return "If code reads these replies after all: `deputize convert --audience SITE=code`."
    if ready:
        return f"`deputize convert`: {len(ready)} of {len(counts.sites)} sites have enough episodes."
    return "Record more calls; `deputize convert --epsilon .10` would need about half as many episodes."


def _show_calls(terminal: Terminal, counts: CallCounts) -> None:
    ago = f", the newest {_ago(terminal.home.now() - counts.newest_s)} ago" if counts.newest_s else ""
    terminal.say(f"{terminal.home.path}: {counts.n_calls:,} calls in {counts.n_episodes:,} episodes{ago}.")
    _say_behind(terminal, terminal.say)
    if counts.sites:
        several = len({one.tenant for one in counts.sites}) > 1
        terminal.table(
            ("agent / site", "calls", "enough for a certificate?"),
            [
                (
                    (f"{one.tenant}: " if several else "") + _site_name(one.site),
                    f"{one.site.n_calls:,}",
                    one.verdict,
                )
                for one in counts.sites
            ],
        )


def _show_today(terminal: Terminal, counts: CallCounts, next_step: str) -> None:
    today = _money(counts.today.get(""))
    if today["n_calls"]:
        terminal.say(
            f"Today: {today['n_served']:,} of {today['n_calls']:,} calls by specialists, ${today['saved_usd']:.2f} saved of "
            f"${today['llm_only_usd']:.2f} (list prices)."
        )
    terminal.say(f"Next: {next_step}")


def _show_routes(terminal: Terminal, routes: list[dict[str, Any]]) -> None:
    if not routes:
        return
    terminal.table(
        ("task", "name", "state", "agrees", "age", "today", "saved"),
        [
            (
                route["task"],
                shortened(route["task_name"], 18),
                route["state_words"],
                f"{percent(route['agreement'])} of {route['n_compared']:,}" if route["n_compared"] else None,
                f"{route['age_days']:.0f} d" if route["age_days"] is not None else None,
                f"{today['n_served']:,}/{today['n_calls']:,}" if today else None,
                f"${today['saved_usd']:.2f}" if today else None,
            )
            for route in routes
            for today in [route["today"]]
        ],
    )


def _say_behind(terminal: Terminal, say: Callable[[str], None]) -> None:
    """How much of this machine is not in the store yet; of a gateway that takes calls the last second always is."""
    behind = backlog_of(terminal.home.journals)
    if behind.oldest_s is not None:
        ago = _ago(max(0.0, terminal.home.now() - behind.oldest_s))
        files = "file" if behind.n_files == 1 else "files"
        say(
            f"In journals of this machine: {behind.n_files} {files} of {behind.n_bytes / 1e6:,.1f} MB, the oldest {ago} old."
        )


def _site_name(site: Site) -> str:
    """Agent and site; an agent that is not named is left out."""
    return site.name if site.name.startswith(site.agent) or not site.agent else f"{site.agent}/{site.name}"


def _ago(seconds: float) -> str:
    for unit, length in (("day", DAY_S), ("hour", 3600.0), ("minute", 60.0)):
        if seconds >= length:
            n = int(seconds / length)
            return f"{n:,} {unit}{'' if n == 1 else 's'}"
    return "a moment"
