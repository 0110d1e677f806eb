"""What a person should look at now, as sentences with where to go. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from deputize.core.certificate_age import DAY_S, expired
from deputize.core.records import Route
from deputize.dashboard.call_index import Minute
from deputize.pipeline.readiness import Served

SOON_DAYS = 7.0
"""A certificate that expires within so many days is named."""
FAILED_SHARE = 0.05
FAILED_AT_LEAST = 5


class Alarm(NamedTuple):
    """One thing to look at."""

    sentence: str
    route: str = ""
    """The route that it is about; "": none."""


def alarms_of(
    routes: Iterable[Route],
    unwatched: Sequence[str],
    month: Mapping[str, Served],
    last_hour: Sequence[Minute],
    now_s: float,
) -> list[Alarm]:
    """The alarms of a home: things that are wrong, or will be soon.

    Args:
        routes: every route and challenger.
        unwatched: a sentence for each serving route that no audit watches.
        month: sums of this month by route.
        last_hour: calls by minute.
        now_s: Unix seconds.
    """
    found = [Alarm(f"{why}.") for why in unwatched]
    for one in routes:
        found += _of_route(one, month.get(one.id), now_s)
    n_calls, n_failed = _total(last_hour)
    if n_failed >= FAILED_AT_LEAST and n_failed > FAILED_SHARE * n_calls:
        found.append(
            Alarm(f"{n_failed:,} of {n_calls:,} calls of the last hour failed (status 400 or more).")
        )
    return list(dict.fromkeys(found))  # a route and its challenger may say the same


def _of_route(one: Route, served: Served | None, now_s: float) -> list[Alarm]:
    found, name = [], f"{one.id} ({one.task_name})"
    if one.state == "rolled_back":
        found.append(Alarm(f"{name} was rolled back: its calls go to the LLM until it is promoted.", one.id))
    if one.state in ("live", "canary", "shadow") and one.certificate is not None:
        left = _days_left(one, now_s)
        if expired(one.certificate, now_s):
            found.append(Alarm(f"The certificate of {name} has expired: the LLM answers its calls.", one.id))
        elif left is not None and left <= SOON_DAYS:
            found.append(
                Alarm(
                    f"The certificate of {name} expires in {max(1, round(left))} days; convert again.", one.id
                )
            )
    if served is not None and served.n_served and served.saved_usd < 0:
        found.append(
            Alarm(
                f"{name} costs more than it saves this month: {-served.saved_usd:.2g} USD with its audits.",
                one.id,
            )
        )
    return found


def _days_left(one: Route, now_s: float) -> float | None:
    found = one.certificate
    if found is None or not found.created_s or not found.renew_after_days:
        return None
    return found.renew_after_days - (now_s - found.created_s) / DAY_S


def _total(minutes: Sequence[Minute]) -> tuple[int, int]:
    return sum(m.n_specialist + m.n_llm for m in minutes), sum(m.n_failed for m in minutes)
