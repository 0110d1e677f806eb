"""Readiness of the recorded calls: which sites have enough episodes for a certificate, or when they will.

Counts only. Nothing is curated or trained: `convert` says the same of tasks, with what earlier tests have spent.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from deputize.core.certificate_age import DAY_S
from deputize.core.certification import DeltaSpending, Feasibility
from deputize.core.config import Convert
from deputize.core.records import Call, Record
from deputize.core.sites import Site
from deputize.scoring.costs import Prices, spend_of
from deputize.scoring.feasibility import expected_units, feasibility, groups_for
from deputize.scoring.ledger import level
from deputize.scoring.split_sizes import most_calibration
from deputize.stages.collect.audience import infer_sites


class CallSpend(NamedTuple):
    """Money and energy of one call. US dollars are list prices."""

    is_served: bool
    """Answered by a specialist."""
    is_audit: bool
    """Made to audit a served call."""
    llm_usd: float
    """At the LLM, whoever answered it."""
    llm_wh: float
    """Watt-hours at the LLM, estimated by its tokens."""
    specialist_usd: float
    """This machine's time for the specialist."""
    specialist_wh: float


@dataclass
class Served:
    """Calls of a route, or of a home, and what they cost. US dollars are list prices."""

    n_calls: int = 0
    n_served: int = 0
    """Answered by a specialist."""
    llm_usd: float = 0.0
    """Of the calls that the LLM answered."""
    avoided_usd: float = 0.0
    """Price that the LLM would have asked for the served calls."""
    specialist_usd: float = 0.0
    """This machine's time for the served calls."""
    audit_usd: float = 0.0
    """Of LLM calls made to audit served ones."""
    llm_wh: float = 0.0
    """Energy, in the same order; estimates."""
    avoided_wh: float = 0.0
    specialist_wh: float = 0.0
    audit_wh: float = 0.0

    @property
    def saved_usd(self) -> float:
        """Money saved; negative where audits and specialists cost more than the LLM would have."""
        return self.avoided_usd - self.specialist_usd - self.audit_usd

    @property
    def saved_wh(self) -> float:
        """Energy saved, by the same rule."""
        return self.avoided_wh - self.specialist_wh - self.audit_wh

    def add(self, spent: CallSpend) -> None:
        """Counts one call."""
        if spent.is_audit:
            self.audit_usd += spent.llm_usd
            self.audit_wh += spent.llm_wh
            return
        self.n_calls += 1
        if spent.is_served:
            self.n_served += 1
            self.avoided_usd += spent.llm_usd
            self.avoided_wh += spent.llm_wh
            self.specialist_usd += spent.specialist_usd
            self.specialist_wh += spent.specialist_wh
        else:
            self.llm_usd += spent.llm_usd
            self.llm_wh += spent.llm_wh

    def merge(self, other: Served) -> None:
        """Adds the sums of other calls."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


class SiteReadiness(Record):
    """One site of an agent and the calls that were recorded there."""

    site: Site
    tenant: str
    n_episodes: int
    n_wanted: int
    """Episodes of the site with which it can be certified."""
    feasibility: Feasibility | None
    """None: its replies are for people, so that nothing is learned from them."""
    verdict: str
    """In a few words: enough, what is missing, or why nothing is learned."""


class CallCounts(Record):
    """Counts of one pass over the stored calls of a home."""

    sites: list[SiteReadiness]
    today: dict[str, Served]
    """Route id -> its calls since the beginning of the day; "" counts every call of the home."""
    n_calls: int
    n_episodes: int
    newest_s: float | None
    """Unix seconds of the newest call; None where no call has a time."""


class CallCounter:
    """Counts the calls of a home, tenant by tenant, in one pass over each."""

    def __init__(self, config: Convert, prices: Prices, n_cores: int, since_s: float) -> None:
        """
        Args:
            config: epsilon, delta, least number of calls, declared audiences.
            prices: of LLMs and of this machine.
            n_cores: of this machine.
            since_s: Unix seconds from which calls count as of today.
        """
        self._config, self._prices, self._n_cores, self._since_s = config, prices, n_cores, since_s
        self._today: dict[str, Served] = defaultdict(Served)
        self._sites: list[SiteReadiness] = []
        self._n_calls, self._newest_s = 0, -1.0
        self._episodes: set[tuple[str, str]] = set()

    def add(self, calls: Iterable[Call], tenant: str) -> None:
        """Counts the calls of one tenant, oldest first."""
        facts: dict[str, tuple[str, float | None]] = {}
        found = infer_sites(self._tapped(calls, tenant, facts), audience=self._config.audience or None)
        by_site: dict[str, list[tuple[str, float | None]]] = defaultdict(list)
        for call_id, site_id in found.site_of.items():
            by_site[site_id].append(facts[call_id])
        self._sites += [
            site_readiness(site, by_site[site.id], self._config, tenant=tenant) for site in found.sites
        ]

    def counts(self) -> CallCounts:
        """The counts so far."""
        return CallCounts(
            n_calls=self._n_calls,
            n_episodes=len(self._episodes),
            newest_s=self._newest_s if self._newest_s >= 0 else None,
            sites=sorted(self._sites, key=lambda s: (s.tenant, s.site.agent, -s.site.n_calls)),
            today=dict(self._today),
        )

    def _tapped(
        self, calls: Iterable[Call], tenant: str, facts: dict[str, tuple[str, float | None]]
    ) -> Iterator[Call]:
        """The calls whose texts are there and that the agent made itself, after they have been counted."""
        for call in calls:
            is_audit = call.decision is not None and bool(call.decision.audit_of)
            if call.timestamp is not None and call.timestamp >= self._since_s:
                self._count_today(call)
            if is_audit:
                continue
            self._n_calls += 1
            self._newest_s = max(self._newest_s, call.timestamp if call.timestamp is not None else -1.0)
            group = call.group or call.episode or call.id
            self._episodes.add((tenant, group))
            if call.recorded == "full":
                facts[call.id] = (group, call.timestamp)
                yield call

    def _count_today(self, call: Call) -> None:
        spent = call_spend(call, self._prices, self._n_cores)
        route = call.decision.route_id if call.decision is not None else ""
        for name in {"", route}:
            self._today[name].add(spent)


def call_spend(call: Call, prices: Prices, n_cores: int) -> CallSpend:
    """Money and energy of a call.

    Args:
        call: as recorded.
        prices: of LLMs and of this machine.
        n_cores: of this machine.
    """
    decision = call.decision
    at_llm = spend_of(call.model, call.usage, call.cost_usd, call.messages, call.tools, call.response, prices)
    seconds = (decision.specialist_ms or 0.0) / 1e3 if decision is not None else 0.0
    return CallSpend(
        is_served=decision is not None and decision.served_by == "slm",
        is_audit=decision is not None and bool(decision.audit_of),
        llm_usd=at_llm.usd,
        llm_wh=prices.llm_wh(at_llm),
        specialist_usd=prices.specialist_usd(seconds, n_cores),
        specialist_wh=prices.specialist_wh(seconds, n_cores),
    )


def hopeless(sites: Iterable[Site], config: Convert) -> str:
    """Why no task of these sites can be certified, however the calls fall into episodes, as a sentence; "" where one
    may be."""
    known = list(sites)
    n_code, n_calls = sum(s.n_code for s in known), sum(s.n_calls for s in known)
    if not n_code:
        return f"All {n_calls:,} replies seem to be for people: there is nothing to train (--audience code, if a program reads them)."
    everything = Site(
        id="", name="", agent="", n_calls=n_code, n_human=0, n_code=n_code, audience="code", evidence=""
    )
    found = site_readiness(everything, [(str(i), None) for i in range(n_code)], config, tenant="")
    if found.verdict == "enough":
        return ""
    so = "" if config.explore else " Tasks are found; nothing is trained (--explore trains all the same)."
    return f"No task can be certified yet: {found.verdict}.{so}"


def site_readiness(
    site: Site, calls: list[tuple[str, float | None]], config: Convert, *, tenant: str
) -> SiteReadiness:
    """The verdict on one site, as for a first test on its episodes.

    Args:
        site: the site.
        calls: group and time of each of its calls.
        config: epsilon, delta, least number of calls.
        tenant: whose calls they are.
    """
    sizes = Counter(group for group, _ in calls)
    if site.audience == "human":
        return SiteReadiness(
            site=site,
            tenant=tenant,
            n_episodes=len(sizes),
            n_wanted=0,
            feasibility=None,
            verdict="its replies seem to be for people",
        )
    times = [at for _, at in calls if at is not None]
    days = (max(times) - min(times)) / DAY_S if len(times) > 1 else 0.0
    first, n_episodes = level(0, config.delta), max(1, len(sizes))
    per_episode = expected_units(list(sizes.values()), max(sizes.values(), default=1)) / n_episodes

    def growth(n: int) -> float:
        return n * per_episode * most_calibration(n, keeps_reserve=config.may_keep_reserve)

    found = feasibility(
        len(sizes),
        growth(len(sizes)),
        config.epsilon,
        DeltaSpending(delta=config.delta, test_level=first),
        fresh_level=first,
        growth=growth,
        groups_per_day=len(sizes) / days if days else None,
    )
    return SiteReadiness(
        site=site,
        tenant=tenant,
        n_episodes=len(sizes),
        n_wanted=min(len(sizes), groups_for(found.n_needed, growth)) + found.n_more_groups,
        feasibility=found,
        verdict=_verdict(found, site, config),
    )


def _verdict(found: Feasibility, site: Site, config: Convert) -> str:
    if found.n_more_groups:
        wait = f", about {_duration(found.days)} at this rate" if found.days is not None else ""
        return f"{found.n_groups:,} of {found.n_groups + found.n_more_groups:,} episodes{wait}"
    if site.n_code < config.min_calls:
        return f"{site.n_code:,} of {config.min_calls:,} calls"
    return "enough"


def _duration(days: float) -> str:
    n, unit = (days, "day") if days >= 1 else (24 * days, "hour")
    n = max(1, math.ceil(n))
    return f"{n:,} {unit}{'' if n == 1 else 's'}"
