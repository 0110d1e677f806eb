"""The live page in a real browser: what its buttons do, widths, dark mode, accessibility. Skips where Chromium is
missing.

Accessibility is checked by axe-core where it is there: `npm install --prefix .venv/axe axe-core`.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from tests.unit.dashboard.conftest import HOSTILE, audit_of, route, served

from deputize.core.records import RouteFile
from deputize.home import Home
from deputize.routes_file import read_routes, write_routes
from deputize.testing import call

playwright_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
ROOT = Path(__file__).resolve().parents[3]
AXE = Path(os.environ.get("AXE_CORE", ROOT / ".venv/axe/node_modules/axe-core/axe.min.js"))
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
WIDTHS = (400, 620, 900, 1280, 1600)
PATHS = (
    "/",
    "/routes/r1",
    "/routes/r2",
    "/calls",
    "/calls/s0",
    "/tasks",
    "/runs",
    "/audits",
    "/audits/s0-audit",
)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        CHROMIUM is None, reason="no Chromium on this machine (Debian: apt-get install chromium)"
    ),
]


@dataclass
class Served:
    """A dashboard in a process of its own."""

    home: Path
    link: str

    @property
    def base(self) -> str:
        """Without the token."""
        return self.link.partition("/?")[0]


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """`deputize dashboard` over a home with routes, calls and an audit; their texts are hostile."""
    path, now_s = tmp_path_factory.mktemp("dashboard") / "home", time.time()
    with Home(path) as home:
        home.store.append(
            [
                served("s0", now_s - 130),
                audit_of("s0", now_s - 129, agrees=False, reply=f"complaint {HOSTILE}"),
                *(served(f"c{i}", now_s - 20 * i) for i in range(40)),
                *(
                    call(
                        f"l{i}",
                        agent="desk",
                        site=f"a long name of a site {HOSTILE} {i % 3}",
                        timestamp=now_s - i,
                    )
                    for i in range(40)
                ),
            ]
        )
        name = f"copy the case data into {{order_id, product, amount}} {HOSTILE}"
        routes = [
            route("r1"),
            route("r2", state="canary", share=0.05, task_name=name),
            route("r3", state="rolled_back"),
        ]
        file = RouteFile(
            run_id="0001", routes=routes, challengers=[route("r2", state="shadow", task_name=name)]
        )
        write_routes(home.routes_path, file, home.routes_seal)
    command = [sys.executable, "-m", "deputize.cli.main", "--home", str(path), "dashboard", "--port", "0"]
    environ = {name: value for name, value in os.environ.items() if name != "DEPUTIZE_KEY"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environ) as process:
        assert process.stderr is not None
        process.stderr.readline()
        yield Served(path, process.stderr.readline().strip())
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with playwright_api.sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Any, dashboard: Served) -> Iterator[Any]:
    """A tab that has followed the link. Whatever its console says, or a script of a call does, fails the test."""
    context = chromium.new_context(viewport={"width": 900, "height": 900})
    tab, said = context.new_page(), list[str]()
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("dialog", lambda dialog: said.append(f"dialog: {dialog.message}"))
    tab.goto(dashboard.link)
    tab.wait_for_selector("#reading", state="detached", timeout=30_000)
    yield tab
    context.close()
    assert not said


def state_of(dashboard: Served, id: str) -> str:
    return next(r.state for r in read_routes(dashboard.home / "routes.json").routes if r.id == id)


def test_a_route_is_closed_and_promoted_with_the_keyboard(page: Any, dashboard: Served) -> None:
    page.goto(f"{dashboard.base}/")
    page.get_by_role("link", name="task r1").focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Close").click()  # without a reason the browser sends nothing
    assert state_of(dashboard, "r1") == "live"
    page.get_by_label("Reason").fill(f"it was wrong {HOSTILE}")
    page.get_by_role("button", name="Close").focus()
    page.keyboard.press("Enter")
    page.wait_for_selector(".steps .now >> text=closed")
    assert state_of(dashboard, "r1") == "closed"
    assert page.get_by_role("region", name="History").inner_text().count("it was wrong") == 1
    page.get_by_label("Reason").fill("mended")
    page.get_by_role("button", name="Promote to live").click()
    page.wait_for_selector(".steps .now >> text=live")
    assert state_of(dashboard, "r1") == "live"


def test_a_program_on_another_port_gets_no_session(page: Any, dashboard: Served) -> None:
    """Browsers keep cookies of all ports of a name together."""
    asked: list[tuple[str, str | None]] = []

    class Elsewhere(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers.get("cookie")))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *words: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        tab = page.context.new_page()
        for path in ("/", "/calls", "/ui/"):
            tab.goto(f"http://127.0.0.1:{server.server_port}{path}")
        tab.close()
        server.shutdown()
    assert {path for path, _ in asked} >= {"/", "/calls", "/ui/"} and not any(c for _, c in asked)
    page.goto(f"{dashboard.base}/calls")
    assert page.get_by_role("heading", name="Calls").count() == 1, "the session goes on"


def test_new_calls_appear_by_themselves_until_paused(page: Any, dashboard: Served) -> None:
    page.goto(f"{dashboard.base}/")
    assert "new-call" not in page.inner_text("#last")
    with Home(dashboard.home) as home:
        home.store.append([served("new-call", time.time())])
    page.wait_for_selector("#last >> text=new-call", timeout=30_000)
    page.get_by_role("button", name="Pause").click()
    assert page.get_by_role("button", name="Go on").get_attribute("aria-pressed") == "true"


def test_an_audit_is_shown_with_placeholders_and_judged(page: Any, dashboard: Served) -> None:
    pytest.importorskip("presidio_analyzer")
    page.goto(f"{dashboard.base}/audits/s0-audit")
    page.get_by_role("heading", name="The LLM's answer").wait_for(timeout=60_000)
    text = page.inner_text("main")
    assert "masked.invalid" in text and "example.com" not in text and HOSTILE in text
    page.get_by_role("button", name="LLM was wrong").click()
    page.wait_for_selector("#tally")
    assert page.inner_text("#tally").split()[:2] == ["1", "LLM"]
    with Home(dashboard.home) as home:
        corrected = {c.id: c.correction for c in home.store.calls() if c.correction}
    assert {id: (c or {}).get("content") for id, c in corrected.items()} == {
        "s0": "refund",
        "s0-audit": "refund",
    }


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_is_cut_at_any_width_and_axe_finds_nothing(page: Any, dashboard: Served, scheme: str) -> None:
    page.emulate_media(color_scheme=scheme)
    violations: list[str] = []
    for path in PATHS:
        page.goto(dashboard.base + path)
        for width in WIDTHS:
            page.set_viewport_size({"width": width, "height": 900})
            over = page.evaluate(
                "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            )
            assert over <= 0, f"{path} is {over} px too wide at {width} px"
        if AXE.is_file():
            page.evaluate(AXE.read_text("utf-8"))
            found = page.evaluate("axe.run()")["violations"]
            violations += [f"{path}: {one['id']}: {one['nodes'][0]['html'][:200]}" for one in found]
    assert not violations, "\n".join(violations)
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, background[4:-1].split(","))) < 200) == (scheme == "dark")
    if not AXE.is_file():
        pytest.skip(f"widths and colours are right; axe-core is not at {AXE}")
