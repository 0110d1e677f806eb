"""The steps of a route: shadow, canary shares, live. Each is taken by evidence of the specialist's own calls.

In shadow the LLM answers and the specialist is asked as well; in a canary it serves a share of the calls and these are
audited. Both give losses of calls that it serves or would serve. Against "its loss is at or above what its certificate
allows" they gather a capital (scoring.monitor): by `step_delta` it leaves shadow once the capital is 1 / step_delta,
and goes live once it has grown by as much again on the calls of the canary, whose steps lie evenly between on a
logarithmic scale.

Pure: routes and evidence in, the next step out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from msgspec import structs

from deputize.core.config import RouteSettings
from deputize.core.records import Route, RouteFile, RouteState
from deputize.scoring.monitor import allowed_loss, log_gain, promotes_from_here
from deputize.stages.refine.route_evidence import CanaryStart, RouteEvidence

OPEN: tuple[RouteState, ...] = ("shadow", "canary", "live")


@dataclass(frozen=True)
class StepProgress:
    """How far the evidence of a route has come toward its next step."""

    n_audits: int
    """Calls with both answers since it entered shadow, or its canary."""
    n_differed: int
    allowed: float
    """Mean loss that the calls may have."""
    gain: float
    """Factor by which the capital has grown."""
    wanted: float
    """Factor at which the step is taken."""
    next_state: RouteState
    next_share: float
    missed_too_many: bool = False
    """Too many comparisons that were due failed or were skipped, so that those made may be the easy ones."""

    @property
    def is_enough(self) -> bool:
        return self.gain >= self.wanted and not self.missed_too_many

    def detail(self) -> dict[str, str]:
        """The evidence as text, for the audit log."""
        return {
            "compared": f"{self.n_audits}",
            "differed": f"{self.n_differed}",
            "allowed": f"{self.allowed:.4f}",
            "e_value": f"{self.gain:.4g}",
            "wanted": f"{self.wanted:.4g}",
        }


def progress(route: Route, evidence: RouteEvidence | None, settings: RouteSettings) -> StepProgress | None:
    """The way of a route to its next step; None where it takes none: closed, live, only compared, or not testable."""
    if route.state not in ("shadow", "canary") or route.certificate is None:
        return None
    allowed = allowed_loss(route.certificate)
    if allowed >= 1 or (route.shadow is not None and route.shadow.only_compare):
        return None
    start = CanaryStart()
    wanted = math.log(1 / settings.step_delta)
    after: Sequence[float] = (*settings.steps, 1.0)
    if route.state == "canary":
        start = (evidence.canary if evidence is not None else None) or start
        after = [share for share in after if share > route.share] or [1.0]
        wanted *= (len(settings.steps) - len(after) + 1) / len(settings.steps)
    state = evidence.state if evidence is not None else None
    return StepProgress(
        n_audits=state.n_audits - start.n_audits if state is not None else 0,
        n_differed=evidence.n_specialist_differed - start.n_specialist_differed
        if evidence is not None
        else 0,
        allowed=allowed,
        gain=math.exp(min(700.0, log_gain(state, start.log_gain))) if state is not None else 1.0,
        wanted=math.exp(wanted),
        next_state="live" if after[0] >= 1 else "canary",
        next_share=after[0],
        missed_too_many=evidence is not None and evidence.missed_too_many,
    )


def entered_canary(evidence: RouteEvidence) -> RouteEvidence:
    """The evidence of a specialist that begins to serve a canary share now."""
    # an episode of which a part came before would bring that part along
    state = promotes_from_here(evidence.state) if evidence.state is not None else None
    start = CanaryStart(
        n_audits=evidence.n_audits,
        n_specialist_differed=evidence.n_specialist_differed,
        log_gain=log_gain(state) if state is not None else 0.0,
    )
    return structs.replace(evidence, state=state, canary=start)


def ended(route: Route, evidence: RouteEvidence | None, now_s: float) -> str:
    """Why a comparison that a person has started is over; "" where it is not."""
    plan = route.shadow
    if route.state != "shadow" or plan is None:
        return ""
    if plan.until_s is not None and now_s > plan.until_s:
        return "its time is over"
    if plan.budget_usd is not None and evidence is not None and evidence.spent_usd >= plan.budget_usd:
        return f"its budget of {plan.budget_usd:g} USD is spent"
    return ""


def same_task(one: Route, other: Route) -> bool:
    """True where two routes of a tenant are versions of one: by id, by task, or by a template that both serve."""
    if one.tenant != other.tenant:
        return False
    return one.id == other.id or one.task_id == other.task_id or not set(one.keys).isdisjoint(other.keys)


def promoted(file: RouteFile, route: Route, state: RouteState, share: float) -> RouteFile:
    """The file with a route of it in another open state; a challenger that goes live takes the place of its route.

    A file in which the route is not as given (somebody else has changed it) stays as it is.
    """
    new = structs.replace(route, state=state, share=share, shadow=None)
    if route not in file.challengers:
        return structs.replace(file, routes=[new if one == route else one for one in file.routes])
    others = [one for one in file.challengers if one != route]
    if state != "live":
        return structs.replace(file, challengers=[*others, new])
    replaced = [one for one in file.routes if same_task(one, route)]
    earlier = [one for one in file.previous if not same_task(one, route)]
    return structs.replace(
        file,
        routes=[*(one for one in file.routes if one not in replaced), new],
        challengers=others,
        previous=[*earlier, *(structs.replace(one, id=new.id) for one in replaced if is_serving(one))],
    )


def closed(file: RouteFile, route: Route) -> RouteFile:
    """The file with a route of it closed, where it is as given."""
    new = structs.replace(route, state="closed", share=1.0, shadow=None)
    return structs.replace(file, routes=[new if one == route else one for one in file.routes])


def is_serving(route: Route) -> bool:
    """True where its specialist answers calls."""
    return route.state in ("live", "canary")
