"""Sites: the places in agents that call a model."""

from __future__ import annotations

from typing import Literal

from deputize.core.records import Record


class Site(Record):
    """One place in the agent that calls a model, who it speaks to, and the evidence for it."""

    id: str
    """Its id."""
    name: str
    """For a reader."""
    agent: str
    """The agent it belongs to."""
    n_calls: int
    """Calls made there."""
    n_human: int
    """Of them, replies to a person."""
    n_code: int
    """Of them, replies meant for code."""
    audience: Literal["human", "code", "mixed"]
    """Who the replies are meant for."""
    evidence: str
    """One sentence with the numbers the inference rests on."""
    n_unsure: int = 0
    """Of the replies to a person, texts of which nothing shows clearly who reads them."""
