"""The part of report.json that is about fresh calls through the gateway, after a demo."""

from __future__ import annotations

from deputize.core.records import Record


class ReplayServer(Record):
    """Calls of a replay that specialists answered, or the LLM."""

    n_calls: int
    """How many."""
    share: float | None
    """Of all calls of the replay."""
    agreement: float | None
    """Of them, answered as the LLM would; 1 for the LLM."""
    p50_ms: float | None
    """Median latency."""
    p95_ms: float | None
    """95th percentile of the latency."""
    mean_reply_tokens: float | None
    """Mean length of the replies."""


class ReplaySite(Record):
    """Calls of a replay at one site."""

    n_calls: int
    """How many."""
    n_slm: int
    """Of them, answered by specialists."""
    n_disagree: int
    """Of them, answered otherwise than the LLM would."""


class ReplayCost(Record):
    """Cost of the calls of a replay."""

    llm_only_usd: float
    """With the LLM alone."""
    routed_usd: float
    """As they were answered."""
    specialist_usd: float
    """Of it, specialists."""


class ReplayDisagreement(Record):
    """One call that a specialist answered otherwise than the LLM would."""

    site: str
    """Id of the site."""
    got: str
    """The specialist's answer."""
    wanted: str
    """The LLM's answer."""


class ReportReplay(Record):
    """Fresh calls sent through the gateway with the new routes (`deputize demo`)."""

    n_calls: int
    """How many."""
    by_server: dict[str, ReplayServer]
    """slm, llm -> what they answered."""
    by_site: dict[str, ReplaySite]
    """Site -> calls."""
    cost: ReplayCost
    """Of the calls."""
    disagreements: list[ReplayDisagreement]
    """The first ten."""
    note: str
    """A remark to read before quoting a figure."""
