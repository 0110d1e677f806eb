"""Pages from templates: everything that comes from calls, routes and runs is escaped."""

from __future__ import annotations

import time
from functools import cache
from typing import Any
from urllib.parse import quote

import jinja2

from deputize.core.records import Route
from deputize.dashboard.charts import minute_bars, most_in_a_minute
from deputize.dashboard.views import Views
from deputize.http.handler import HttpReply
from deputize.store.access.roles import Actor, Right, may
from deputize.web import figures
from deputize.web.html_templates import html_templates
from deputize.web.page_request import Visit, html_reply

MENU = (("/", "Now"), ("/calls", "Calls"), ("/tasks", "Tasks"), ("/audits", "Audits"), ("/runs", "Runs"))


class Renderer:
    """The templates of the pages."""

    def __init__(self, base: str, views: Views, *, asks_for_key: bool) -> None:
        self._base, self._views, self._asks_for_key = base, views, asks_for_key
        _environment()

    def page(self, name: str, visit: Visit, **facts: Any) -> str:
        """A page for somebody who is signed in."""
        return self._render(
            name,
            **facts,
            actor=visit.actor,
            token=visit.token,
            path=visit.request.path,
            reading=self._views.reading(),
            may_steer=may(visit.actor, Right.PROMOTE_ROUTES),
        )

    def _render(self, name: str, **facts: Any) -> str:
        template = _environment().get_template(f"{name}.html.j2")
        return template.render(facts, base=self._base, asks_for_key=self._asks_for_key)

    def message(self, status: int, sentence: str, actor: Actor | None) -> HttpReply:
        """A page with one sentence."""
        page = self._render("message", status=status, sentence=sentence, actor=actor, path="")
        return html_reply(page, status)


@cache
def _environment() -> jinja2.Environment:
    """The templates with what they use; made once."""
    made = html_templates("deputize.dashboard")
    made.filters.update(
        share=figures.share,
        usd=figures.usd,
        count=figures.count,
        ms=figures.milliseconds,
        day=figures.day,
        energy=energy,
        clock=clock,
        path=lambda text: quote(str(text), safe=""),
        units=figures.units_words,
    )
    made.globals.update(
        menu=MENU, minute_bars=minute_bars, most_in_a_minute=most_in_a_minute, actions_of=actions_of
    )
    for name in made.list_templates():
        made.get_template(name)  # now, so that nobody's first page waits for it
    return made


def energy(watt_hours: float) -> str:
    """Energy in the unit that reads best."""
    if abs(watt_hours) >= 1000:
        return f"{watt_hours / 1000:,.1f} kWh"
    return f"{watt_hours:.1f} Wh" if abs(watt_hours) >= 1 or not watt_hours else f"{watt_hours:.2g} Wh"


def clock(seconds: float) -> str:
    """Unix seconds as date and time, UTC; a dash where they are not known."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(seconds)) if seconds else "–"


def actions_of(one: Route, *, has_previous: bool = False) -> list[tuple[str, str]]:
    """The changes that can be made to a route by hand: value of the button, and its words."""
    found = []
    if one.certificate is not None and one.state != "live":
        found += [("next", "Promote one step"), ("live", "Promote to live")]
    if one.state in ("shadow", "canary", "live"):
        found.append(("rollback", "Roll back"))
    if has_previous:
        found.append(("previous", "Serve by the earlier version"))
    if one.state != "closed":
        found.append(("close", "Close"))
    return found
