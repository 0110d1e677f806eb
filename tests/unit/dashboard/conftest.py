"""A home with routes, calls, audits and the pages over it, read by the real reader; time stands still."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from urllib.parse import urlencode

import pytest
from msgspec import structs

from deputize.core.records import Call, Certificate, Contract, Decision, Route, RouteFile, Usage
from deputize.dashboard.call_reader import CallReader
from deputize.dashboard.pages import Pages
from deputize.home import Home
from deputize.http.handler import HttpReply
from deputize.routes_file import write_routes
from deputize.store.access.roles import Actor, owner
from deputize.testing import ManualClock, call
from deputize.web.sessions import Sessions
from deputize.web.sign_in import LaunchLink

HOST = "127.0.0.1:8791"
NOW_S = 1_700_000_000.0
HOSTILE = "<script>alert(1)</script>"
CERTIFICATE = Certificate(
    id="c1",
    kind="not_worse_than_llm",
    epsilon=0.05,
    delta=0.05,
    n_calibration=100,
    threshold=0.9,
    share_served=0.8,
    p_value=0.01,
    claim="it is as it was claimed",
    created_s=NOW_S - 86400.0,
)


def route(id: str, **given: object) -> Route:
    """A certified route, live where nothing else is said."""
    fields = {"state": "live", "certificate": CERTIFICATE, "task_name": f"task {id}", **given}
    return Route(
        id=id,
        task_id=f"t-{id}",
        keys=[f"k-{id}"],
        contract=Contract(kind="label", labels=["a"]),
        specialist="runs/x",
        threshold=0.9,
        **fields,  # type: ignore[arg-type]
    )


def served(id: str, at_s: float, *, reply: str = "refund", tenant: str = "default") -> Call:
    """A call that a specialist answered."""
    decision = Decision(
        served_by="slm", reason="live", route_id="r1", specialist="runs/x", specialist_ms=2.0, confidence=0.95
    )
    return call(
        id,
        f"Anna Miller wrote {HOSTILE} from anna.miller@example.com",
        reply,
        agent="desk",
        site="triage",
        model="gpt-4o",
        timestamp=at_s,
        latency_ms=3.0,
        tenant=tenant,
        usage=Usage(prompt_tokens=100_000, completion_tokens=10),
        decision=decision,
    )


def audit_of(id: str, at_s: float, *, agrees: bool, reply: str, tenant: str = "default") -> Call:
    """The LLM's answer to an audit."""
    decision = Decision(reason="audit", route_id="r1", specialist="runs/x", shadow_agrees=agrees, audit_of=id)
    return call(
        f"{id}-audit",
        "Anna Miller wrote",
        reply,
        model="gpt-4o",
        timestamp=at_s,
        tenant=tenant,
        decision=decision,
    )


def shadowed(id: str, at_s: float, *, reply: str, shadow_reply: str) -> Call:
    """A call that the LLM answered otherwise than a specialist in shadow."""
    decision = Decision(
        reason="shadow", route_id="r1", specialist="runs/x", confidence=0.95, shadow_agrees=False
    )
    said = {"role": "assistant", "content": shadow_reply}
    asked = call(id, f"Anna Miller wrote {HOSTILE}", reply, agent="desk", site="triage", timestamp=at_s)
    return structs.replace(asked, decision=decision, shadow_response=said)


def some_calls() -> list[Call]:
    """Nine calls within three minutes: three served, one of them audited twice over, one of another tenant."""
    at = NOW_S - 150.0
    return [
        served("s0", at),
        audit_of("s0", at + 1, agrees=False, reply="complaint"),
        served("s1", at + 60),
        audit_of("s1", at + 61, agrees=True, reply="refund"),
        *(
            call(
                f"l{i}",
                "hello",
                agent="desk",
                site="write",
                model="gpt-4o",
                timestamp=at + 60 + i,
                status=200,
            )
            for i in range(3)
        ),
        served("other", at + 70, tenant="acme"),
        audit_of("other", at + 71, agrees=False, reply="complaint", tenant="acme"),
    ]


@dataclass
class Browser:
    """Asks the pages as a browser does: with its cookie, and the token of the page in its forms."""

    pages: Pages
    sessions: Sessions
    headers: dict[str, str] = field(default_factory=lambda: {"host": HOST})

    def get(self, path: str) -> HttpReply:
        return self.pages.answer("GET", path, self.headers, b"")

    def text(self, path: str) -> str:
        reply = self.get(path)
        assert reply.status == 200, reply.body
        assert isinstance(reply.body, bytes)
        return reply.body.decode()

    def words(self, path: str) -> str:
        """A page as a person reads it."""
        return re.sub(r"\s+", " ", unescape(re.sub(r"<[^>]+>", " ", self.text(path))))

    def open(self, link: str) -> HttpReply:
        """Follows the link that begins a session."""
        reply = self.get(link)
        for name, value in reply.headers:
            if name == "set-cookie":
                self.headers["cookie"] = value.partition(";")[0]
        return reply

    def token(self, path: str) -> str:
        """The token in the forms of a page."""
        found = re.search(r'name="token" value="([0-9a-f]+)"', self.text(path))
        assert found is not None
        return found[1]

    def form_token(self) -> str:
        """The token of the session, also where no page shows it."""
        return self.sessions.form_token(self.headers["cookie"].partition("=")[2])

    def post(self, path: str, *, origin: str = f"http://{HOST}", **form: str) -> HttpReply:
        headers = {
            **self.headers,
            "origin": origin,
            "content-type": "application/x-www-form-urlencoded",
        }
        return self.pages.answer("POST", path, headers, urlencode(form).encode())


@dataclass
class Desk:
    """A home with its pages."""

    home: Home
    reader: CallReader
    clock: ManualClock

    def browser(self, actor: Actor | None = None) -> Browser:
        """The pages for somebody, signed in; the owner where nobody is named."""
        sessions = Sessions(bytes(32), self.clock)
        sign_in = LaunchLink("link", actor or owner(), sessions)
        browser = Browser(Pages(self.home, self.reader, sign_in, cookie="deputize_1"), sessions)
        assert browser.open("/?token=link").status == 303
        return browser


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """Routes r1 (live), r2 (canary, with a challenger) and one of the tenant acme; some calls, all of them read."""
    clock = ManualClock(NOW_S)
    with Home(tmp_path / "home", clock=clock) as home:
        home.store.append(some_calls())
        routes = [
            route("r1"),
            route("r2", state="canary", share=0.05, task_name=f"sort {HOSTILE}"),
            route("r3", state="closed", tenant="acme"),
        ]
        file = RouteFile(
            run_id="0001", routes=routes, challengers=[route("r2", state="shadow", task_name="new")]
        )
        write_routes(home.routes_path, file, home.routes_seal)
        reader = CallReader(home)
        reader.read_once()
        yield Desk(home, reader, clock)
