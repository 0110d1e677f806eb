"""shadow: ask a route's specialist beside the LLM, and compare."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec
from msgspec import structs

from deputize.cli.route_views import read_route_file
from deputize.cli.routes import find_route, of_challenger, say_route, with_reason
from deputize.cli.terminal import Terminal, pass_terminal
from deputize.core.certificate_age import DAY_S
from deputize.core.errors import UsageError
from deputize.core.percentages import percent, whole_percent
from deputize.core.records import Call, Route
from deputize.core.shadow_plan import ShadowPlan

if TYPE_CHECKING:
    from deputize.stages.refine.route_evidence import RouteEvidence


@click.group()
def shadow() -> None:
    """Ask a route's specialist beside the LLM, which answers every call, and compare."""


@shadow.command()
@click.argument("route_id", metavar="ROUTE")
@click.option(
    "--share",
    type=click.FloatRange(0, 1, min_open=True),
    default=1.0,
    show_default=True,
    help="Share of the route's calls that the specialist is asked.",
)
@click.option("--days", type=click.FloatRange(0, min_open=True), help="After so many days it ends.")
@click.option(
    "--budget-usd",
    type=click.FloatRange(0, min_open=True),
    help="It ends when so much was spent on the specialist's time and on second answers of the LLM.",
)
@click.option("--only-compare", is_flag=True, help="Do not promote the route, whatever the comparison shows.")
@with_reason
@pass_terminal
def start(
    terminal: Terminal,
    /,
    route_id: str,
    share: float,
    days: float | None,
    budget_usd: float | None,
    only_compare: bool,
    reason: str,
) -> None:
    """Put a route in shadow: its evidence begins again, and the gateway promotes it when that is enough.

    A comparison that ends before leaves the route closed.
    """
    from deputize.gateway.evidence_file import forget_evidence
    from deputize.operations.route_changes import change_route, with_route

    file = read_route_file(terminal)
    before = find_route(file, route_id)
    if before.certificate is None:
        raise UsageError(f"Route {before.id} has no certificate, so there is nothing to compare by.")
    now_s = time.time()
    plan = ShadowPlan(
        share=share,
        until_s=None if days is None else now_s + days * DAY_S,
        budget_usd=budget_usd,
        only_compare=only_compare,
    )
    now = structs.replace(before, state="shadow", share=1.0, shadow=plan)
    forget_evidence(terminal.home.path, before, terminal.home.evidence_seal, at_s=now_s)
    change_route(terminal.home, before, "shadow", lambda file: with_route(file, before, now), now, reason)
    say_route(terminal, now)


@shadow.command("show")
@click.argument("route_id", metavar="ROUTE")
@of_challenger
@click.option("--open", "open_page", is_flag=True, help="Open the page in the browser.")
@pass_terminal
def show_comparison(terminal: Terminal, /, route_id: str, challenger: bool, open_page: bool) -> None:
    """The comparison of a specialist in shadow with the LLM, as a table and as a page."""
    from deputize.web.shadow_page import write_comparison

    one = find_route(read_route_file(terminal), route_id, challenger=challenger)
    document = comparison_document(terminal, one)
    page = write_comparison(terminal.home.path / "shadow" / f"{Path(one.specialist).name}.html", document)
    terminal.result({**document, "page": str(page)}, lambda: _show(terminal, document, page))
    if open_page:
        click.launch(page.as_uri())


def comparison_document(terminal: Terminal, one: Route) -> dict[str, Any]:
    """The comparison with what comes next, as a document.

    Raises:
        UsageError: the route has no certificate.
    """
    from deputize.gateway.evidence_file import read_evidence
    from deputize.scoring.costs import load_prices, spend_of
    from deputize.scoring.monitor import allowed_loss
    from deputize.stages.refine.shadow_comparison import compared

    if one.certificate is None:
        raise UsageError(f"Route {one.id} has no certificate, so there is nothing to compare by.")
    prices = load_prices(terminal.home.path)
    evidence = read_evidence(terminal.home.path, terminal.home.evidence_seal).get((one.id, one.specialist))
    since_s = evidence.since_s if evidence is not None else 0.0

    def llm_usd(call: Call) -> float:
        parts = (call.model, call.usage, call.cost_usd, call.messages, call.tools, call.response)
        return spend_of(*parts, prices).usd

    found = compared(
        terminal.home.store.calls(since=since_s or None),
        one,
        allowed=allowed_loss(one.certificate),
        llm_usd=llm_usd,
        specialist_usd=lambda seconds: prices.specialist_usd(seconds, os.cpu_count() or 1),
        since_s=since_s,
    )
    return {
        **msgspec.to_builtins(found),
        "share_served": found.share_served,
        "spent_usd": evidence.spent_usd if evidence is not None else 0.0,
        "next_words": _next_words(terminal, one, evidence),
        "ends_words": _ends_words(one),
    }


def _next_words(terminal: Terminal, one: Route, evidence: RouteEvidence | None) -> str:
    from deputize.stages.refine.route_life import progress

    found = progress(one, evidence, terminal.home.route_settings())
    if found is None:
        return f"The route is {one.state}; its evidence takes it nowhere by itself."
    to = f"a canary of {whole_percent(found.next_share)}" if found.next_state == "canary" else "live"
    return (
        f"It becomes {to} at an e-value of {found.wanted:.3g}; after {found.n_audits:,} calls that it would have served, "
        f"{found.n_differed:,} of them differing, the e-value is {found.gain:.3g}."
    )


def _ends_words(one: Route) -> str:
    plan = one.shadow
    if plan is None:
        return ""
    words = []
    if plan.until_s is not None:
        words.append(f"on {time.strftime('%Y-%m-%d %H:%M', time.gmtime(plan.until_s))} UTC")
    if plan.budget_usd is not None:
        words.append(f"when {plan.budget_usd:g} USD are spent")
    ends = f"The comparison ends {' or '.join(words)}. " if words else ""
    return ends + f"{whole_percent(plan.share)} of the calls are compared."


def _show(terminal: Terminal, document: dict[str, Any], page: Path) -> None:
    terminal.say(
        f"{document['route_id']} ({document['task_name']}): {document['n_compared']:,} calls compared, "
        f"{document['n_served']:,} would have been served ({whole_percent(document['share_served'])}), {document['n_differed']:,} of them "
        f"otherwise than by the LLM ({percent(document['differed_low'])} to {percent(document['differed_high'])}; "
        f"{percent(document['allowed'])} allowed)."
    )
    terminal.say(
        f"{document['saved_usd']:.4f} USD of {document['llm_usd']:.4f} would have been saved. Median {document['specialist_ms'][0]:.0f} ms, "
        f"the LLM {document['llm_ms'][0]:.0f} ms. Spent on the comparison: {document['spent_usd']:.4f} USD."
    )
    terminal.say(document["next_words"])
    if document["ends_words"]:
        terminal.say(document["ends_words"])
    terminal.table(
        ("confidence", "calls", "the LLM's answer"),
        [
            (f"{b['low']:g} to {b['high']:g}", b["n"], percent(b["n_agreed"] / b["n"]))
            for b in document["bands"]
        ],
    )
    terminal.say(f"The page: {page}")
