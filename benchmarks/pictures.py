"""Pictures of the live page and of a report for the documentation: `python -m benchmarks.pictures [OUT_FOLDER]
[--demo HOME]`.

The live page is over a simulated home: calls of a help desk over thirty days, the last hour as a customer at work
would have it, four routes in different states. The report is that of the home which `make demo` leaves
(.deputize-demo), where `--demo` names it. Both pages are the real ones, photographed with Debian's Chromium
(playwright).
"""

from __future__ import annotations

import argparse
import math
import random
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from msgspec import structs

from deputize.core.records import Call, Certificate, Contract, Decision, Route, RouteFile, RouteState, Usage
from deputize.gateway.evidence_file import write_evidence
from deputize.home import Home
from deputize.routes_file import write_routes
from deputize.stages.refine.route_evidence import RouteEvidence, new_evidence, with_audit

FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-sync",
)
WIDTH, HEIGHT, REPORT_HEIGHT = 1180, 1010, 1500
TASKS: dict[str, tuple[RouteState, float, int, int]] = {
    "triage: decide what the customer wants and how urgent": ("live", 1.0, 412, 3),
    "copy the case data out of a customer's letter": ("live", 1.0, 388, 0),
    "policy check: say whether the case may be settled": ("canary", 0.25, 96, 1),
    "next action: choose the next action in a case": ("shadow", 1.0, 41, 0),
}
"""Task -> state, share, calls compared with the LLM, of which differed."""
USAGE = Usage(prompt_tokens=820, completion_tokens=24)


def calls(now_s: float) -> Iterator[Call]:
    """Simulated calls; more in the last hour than before."""
    rng = random.Random(0)
    times = [now_s - rng.uniform(3600, 29 * 86400) for _ in range(6000)]
    times += [
        now_s - 60 * minute - rng.uniform(0, 60)
        for minute in range(60)
        for _ in range(round(14 + 5 * math.sin(minute / 7) + rng.uniform(0, 5)))
    ]
    for i, at in enumerate(sorted(times)):
        n = rng.randrange(len(TASKS))
        is_served = n < 2 or (n == 2 and rng.random() < 0.25)
        decision = Decision(
            served_by="slm" if is_served else "llm",
            reason=("live", "live", "canary", "shadow")[n] if is_served or n == 3 else "outside_canary",
            route_id=f"route-{n}",
            specialist="runs/0001/s",
            specialist_ms=2.1 if is_served else None,
            confidence=0.97,
        )
        yield Call(
            id=f"dpz-{rng.getrandbits(32):08x}",
            messages=[{"role": "user", "content": "simulated"}],
            response={"role": "assistant", "content": "simulated"},
            agent="help desk (simulated)",
            site=("triage", "extract", "policy_check", "next_action")[n],
            model="gpt-4o",
            episode=f"e{i // 4}",
            timestamp=at,
            usage=USAGE,
            latency_ms=rng.uniform(2, 5) if is_served else rng.uniform(350, 1400),
            decision=decision,
        )


def make_home(home: Home) -> None:
    """Calls, routes and evidence."""
    home.store.append(list(calls(home.now())))
    certificate = Certificate(
        id="c",
        kind="not_worse_than_llm",
        epsilon=0.05,
        delta=0.05,
        n_calibration=240,
        threshold=0.9,
        share_served=0.95,
        p_value=0.01,
        claim="simulated",
        created_s=home.now() - 9 * 86400,
        renew_after_days=30.0,
    )
    routes, known = [], dict[tuple[str, str], RouteEvidence]()
    for n, (name, (state, share, n_compared, n_differed)) in enumerate(TASKS.items()):
        one = Route(
            id=f"route-{n}",
            task_id=f"t{n}",
            task_name=name,
            keys=[str(n)],
            contract=Contract(kind="label"),
            specialist="runs/0001/s",
            threshold=0.9,
            state=state,
            share=share,
            certificate=certificate if n else structs.replace(certificate, renew_after_days=14.0),
        )
        evidence = new_evidence(one)
        for i in range(n_compared):
            evidence = with_audit(evidence, "s" if i < n_differed else ".", certificate, episode=f"{n}/{i}")
        routes.append(one)
        known[one.id, one.specialist] = evidence
    write_routes(home.routes_path, RouteFile(run_id="0001", routes=routes), home.routes_seal)
    write_evidence(home.path, known, home.evidence_seal)


def take(out: Path) -> Path:
    """Takes the picture of the first page; returns the file."""
    from playwright.sync_api import sync_playwright

    out.mkdir(parents=True, exist_ok=True)
    made = out / "dashboard.png"
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as tool:
        with Home(Path(folder)) as home:
            make_home(home)
        command = [sys.executable, "-m", "deputize.cli.main", "--home", folder, "dashboard", "--port", "0"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
            assert server.stderr is not None
            server.stderr.readline()
            link = server.stderr.readline().strip()
            browser = tool.chromium.launch(executable_path=shutil.which("chromium"), args=list(FLAGS))
            page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})
            page.goto(link)
            page.wait_for_selector("#reading", state="detached", timeout=300_000)
            page.screenshot(path=made)
            browser.close()
            server.send_signal(signal.SIGINT)
    return made


def take_report(demo: Path, out: Path) -> Path:
    """Takes the picture of the top of the newest report of a home; returns the file."""
    from playwright.sync_api import sync_playwright

    out.mkdir(parents=True, exist_ok=True)
    made = out / "report.png"
    pages = sorted(demo.glob("runs/*/report.html"), key=lambda p: p.stat().st_mtime)
    if not pages:
        raise SystemExit(f"{demo} has no report: run `make demo` first.")
    with sync_playwright() as tool:
        browser = tool.chromium.launch(executable_path=shutil.which("chromium"), args=list(FLAGS))
        page = browser.new_page(viewport={"width": WIDTH, "height": REPORT_HEIGHT})
        page.goto(pages[-1].resolve().as_uri())
        # where it lies on this machine says nothing to a reader
        page.get_by_text(str(demo.resolve())).first.evaluate(
            "(shown) => { shown.textContent = '.deputize-demo' }"
        )
        page.screenshot(path=made)
        browser.close()
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description="Pictures of the live page and of a report.")
    parser.add_argument("out", type=Path, nargs="?", default=Path("docs/pictures"))
    parser.add_argument(
        "--demo", type=Path, default=None, help="home of a demo, for the picture of its report"
    )
    options = parser.parse_args()
    print(take(options.out))
    if options.demo is not None:
        print(take_report(options.demo, options.out))


if __name__ == "__main__":
    main()
