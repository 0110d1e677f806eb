"""The policy of what is kept of calls: by home, tenant and site, and as a request asks for itself. The strictest
wins."""

from __future__ import annotations

from typing import Literal

from msgspec import structs
from pydantic import BaseModel, ConfigDict, Field

from deputize.core.records import Call

Kept = Literal["full", "metadata", "off"]
LEVELS: tuple[Kept, ...] = ("full", "metadata", "off")
"""From the least strict to the strictest."""


class Recording(BaseModel):
    """`[recording]` of HOME/config.toml: what is kept of calls. The strictest of what is said here and in a request's
    header holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    default: Kept = "full"
    """full: the call; metadata: model, caller, times, tokens, status and who answered, no texts; off: nothing. Calls
    that are not kept in full are never trained on, compared or audited; they are charged and may be answered by a
    route."""
    tenants: dict[str, Kept] = Field(default_factory=dict)
    """The same for a tenant, by its name."""
    sites: dict[str, Kept] = Field(default_factory=dict)
    """The same for a site, "agent/site" or an agent, by the names that calls give themselves."""

    def level(self, *, tenant: str, agent: str = "", site: str = "", asked: Kept = "full") -> Kept:
        """The level at which a call is kept.

        Args:
            asked: what the call's own header asks for.
        """
        said = [asked, self.default, self.tenants.get(tenant, "full")]
        if self.sites:
            said += [self.sites.get(name, "full") for name in (site, f"{agent}/{site}", agent) if name]
        return max(said, key=LEVELS.index)


def recorded_part(call: Call, level: Kept) -> Call | None:
    """The part of a call that is kept; None for nothing.

    The pseudonym of who asked stays with the metadata, so that an erasure finds them. Names of runs and responses,
    which callers choose, do not.
    """
    if level == "full":
        return call
    if level == "off":
        return None
    return structs.replace(
        call,
        recorded="metadata",
        messages=[],
        response={},
        shadow_response=None,
        tools=None,
        response_format=None,
        tool_choice=None,
        params={},
        logprobs=None,
        outcome=None,
        episode="",
        group="",
        response_id="",
    )
