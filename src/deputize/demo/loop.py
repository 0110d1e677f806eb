"""The whole loop on the simulated help desk: traffic, curation to certification, live routes, fresh calls, report.

Each part is skipped where it has been done, so a demo that was stopped goes on where it was.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from deputize.core.config import Convert
from deputize.core.errors import BadInput, UsageError
from deputize.core.progress import Progress, silent
from deputize.core.records import Record
from deputize.demo import replay, teacher, traffic, world
from deputize.demo.agent import Seen
from deputize.demo.processes import teacher_process
from deputize.files import make_folder, write_atomic
from deputize.gateway.child_process import start_gateway_process
from deputize.home import Home
from deputize.pipeline.conversion import convert
from deputize.routes_file import read_routes
from deputize.scoring.costs import load_prices
from deputize.web.page import write_report

FRESH_FROM = 50_000
"""Index of the first ticket of the replay: far from those that are trained on."""

METHODS = ("linear", "lora")
"""What else could serve some of the linear tasks better takes the minutes that the two written lines need."""

CONFIG_TOML = """\
# A demo of minutes has no time for shadow and canary: its routes serve at once.
[routes]
start = "live"
"""

PRICES_TOML = """\
# The simulated LLM has no price. The demo counts it as a large hosted model.
[simulated]
source = "assumed for the simulation: the list price of a large hosted model (gpt-4o)"
as_of = "2025"
[simulated.models]
"{model}" = {{ input = 2.50, output = 10.00 }}
"""


@dataclass(frozen=True)
class DemoSize:
    """The size of a demo, and its settings."""

    seed: int = 0
    n_episodes: int = 240
    n_fresh_calls: int = 200
    concurrency: int = 8
    replay_concurrency: int = 4
    latency_scale: float = 0.1
    """The simulated LLM answers ten times as fast as a hosted one, so that the traffic takes seconds."""
    minutes: float = 15.0
    """Time budget of curation, discovery, training and evaluation together."""
    epsilon: float = 0.05

    def convert(self) -> Convert:
        """The settings of the run."""
        given = {"epsilon": self.epsilon, "seed": self.seed, "minutes": self.minutes, "methods": METHODS}
        return Convert.model_validate(given)

    def tickets(self) -> list[world.Ticket]:
        """The simulated tickets that are trained on."""
        return [world.ticket(self.seed, i) for i in range(self.n_episodes)]


class DemoState(Record):
    """The progress of a demo, in clear as demo.json in its home."""

    seed: int
    n_episodes: int
    traffic_s: float = 0.0
    replay_s: float = 0.0
    run_id: str = ""
    """The finished run; empty before."""


def run(
    home: Path,
    plan: DemoSize,
    *,
    progress: Progress = silent,
    say: Callable[[str], None],
    fresh: bool = False,
) -> dict[str, Any]:
    """The demo from whatever point it is at; the report, with the replay's figures under "replay".

    Args:
        home: a folder of the demo's own.
        plan: how large.
        progress: called all along.
        say: takes a sentence at the start of each part.
        fresh: throw an earlier demo in this folder away first.

    Raises:
        UsageError: the folder holds something that is not a demo, or a demo with other settings.
    """
    if fresh:
        forget(home)
    state = open_state(home, plan)
    with teacher_process(plan.seed, latency_scale=plan.latency_scale) as llm:
        if not state.run_id:
            state = collect_traffic(home, plan, state, llm, progress, say)
            say("Now: de-identify, find the tasks, choose and train specialists, certify them.")
            with Home(home) as opened:
                report = convert(opened, plan.convert(), progress=progress)
            state = _save(home, msgspec.structs.replace(state, run_id=report["run_id"]))
        folder = home / "runs" / state.run_id
        report = _read_report(folder)
        if "replay" not in report:
            say(
                "The routes go live at once, for this is a simulation. In a home of yours they begin in shadow and earn each "
                'share of the calls, unless config.toml says [routes] start = "live".'
            )
            say(f"{plan.n_fresh_calls} fresh simulated calls go through the gateway.")
            began = time.monotonic()
            seen = through_gateway(
                home,
                llm,
                fresh_tickets(plan),
                concurrency=plan.replay_concurrency,
                max_calls=plan.n_fresh_calls,
                what="fresh calls",
                progress=progress,
            )
            report["replay"] = _scored(home, plan, seen)
            state = _save(home, msgspec.structs.replace(state, replay_s=round(time.monotonic() - began, 1)))
            report["timings_s"] = {
                "traffic": state.traffic_s,
                **report.get("timings_s", {}),
                "replay": state.replay_s,
            }
            write_report(folder, report)
    return report


def fresh_tickets(plan: DemoSize) -> list[world.Ticket]:
    """Tickets for the replay, more than enough for its calls (an episode makes four at least)."""
    return [world.ticket(plan.seed, FRESH_FROM + i) for i in range(plan.n_fresh_calls // 4 + 1)]


def open_state(home: Path, plan: DemoSize) -> DemoState:
    """The state of the demo in a folder, begun where there is none."""
    path = home / "demo.json"
    if path.exists():
        try:
            state = msgspec.json.decode(path.read_bytes(), type=DemoState)
        except msgspec.MsgspecError as error:
            raise BadInput(f"{path} is damaged ({error}); start again with --fresh.") from error
        if (state.seed, state.n_episodes) != (plan.seed, plan.n_episodes):
            raise UsageError(
                f"{home} holds a demo with other settings; start again with --fresh or another --home."
            )
        return state
    if home.exists() and any(home.iterdir()):
        raise UsageError(f"{home} is not empty and holds no demo; choose another --home.")
    make_folder(home)
    write_atomic(home / "config.toml", CONFIG_TOML.encode())
    write_atomic(home / "prices.toml", PRICES_TOML.format(model=teacher.MODEL).encode())
    return _save(home, DemoState(seed=plan.seed, n_episodes=plan.n_episodes))


def forget(home: Path) -> None:
    """Delete a demo's folder, and nothing that is not one."""
    if (home / "demo.json").is_file():
        shutil.rmtree(home)
    elif home.exists() and any(home.iterdir()):
        raise UsageError(f"{home} holds no demo, so it is not deleted.")


def _save(home: Path, state: DemoState) -> DemoState:
    write_atomic(home / "demo.json", msgspec.json.format(msgspec.json.encode(state), indent=2))
    return state


def finished_episodes(home: Path) -> set[str]:
    """Episodes in the store whose outcome is known: the agent posts it last."""
    with Home(home) as opened:
        return {c.episode for c in opened.store.calls() if c.outcome is not None}


def collect_traffic(
    home: Path, plan: DemoSize, state: DemoState, llm: str, progress: Progress, say: Callable[[str], None]
) -> DemoState:
    """Has the simulated agent work on the tickets that are not finished, through the gateway; returns the new state."""
    done = finished_episodes(home)
    todo = [t for t in plan.tickets() if f"helpdesk-{t.number}" not in done]
    if todo:
        say(f"A simulated help-desk agent works on {len(todo)} simulated tickets through the gateway.")
        began = time.monotonic()
        through_gateway(
            home, llm, todo, concurrency=plan.concurrency, what="simulated tickets", progress=progress
        )
        state = _save(
            home,
            msgspec.structs.replace(state, traffic_s=state.traffic_s + round(time.monotonic() - began, 1)),
        )
    return state


def through_gateway(
    home: Path,
    llm: str,
    tickets: list[world.Ticket],
    *,
    concurrency: int,
    what: str,
    progress: Progress,
    max_calls: int | None = None,
) -> list[Seen]:
    """Start a gateway on the home, let the agent work through it, stop it; the calls the agent made."""
    with start_gateway_process(home, upstream=llm) as gateway:
        return asyncio.run(
            traffic.run_episodes(
                f"{gateway.base_url}/v1",
                tickets,
                concurrency=concurrency,
                max_calls=max_calls,
                what=what,
                progress=progress,
            )
        )


def _scored(home: Path, plan: DemoSize, seen: list[Seen]) -> dict[str, Any]:
    contracts = {r.id: r.contract for r in read_routes(home / "routes.json").routes}
    n_cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return replay.score(
        seen, teacher.script(plan.seed), contracts, load_prices(home), teacher.MODEL, n_cores=n_cores
    )


def _read_report(folder: Path) -> dict[str, Any]:
    try:
        return msgspec.json.decode((folder / "report.json").read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.MsgspecError) as error:
        raise BadInput(
            f"The report in {folder} cannot be read ({error}); start again with --fresh."
        ) from error
