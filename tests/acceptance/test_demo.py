"""The demo: small through the real gateway in the fast suite, whole in the slow one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from deputize.core import artifacts as art
from deputize.core.errors import UsageError
from deputize.core.progress import silent
from deputize.demo import loop
from deputize.demo.agent import AGENT
from deputize.demo.processes import teacher_process
from deputize.home import Home
from deputize.locations import models_path
from deputize.pipeline.artifact import Artifact
from deputize.pipeline.conversion import convert
from deputize.pipeline.run import latest_run
from deputize.specialists import catalogue
from deputize.store.keys.keyring import KeyRing
from deputize.store.keys.run_keys import run_key

SMALL = loop.DemoSize(n_episodes=40, latency_scale=0.01)


def quiet(text: str) -> None:
    pass


@pytest.fixture(scope="module")
def collected(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the traffic of a small demo."""
    home = tmp_path_factory.mktemp("demo") / "home"
    state = loop.open_state(home, SMALL)
    with teacher_process(SMALL.seed, latency_scale=SMALL.latency_scale) as llm:
        loop.collect_traffic(home, SMALL, state, llm, silent, quiet)
    return home


def test_every_call_is_in_the_store_with_its_outcome(collected: Path) -> None:
    store = Home(collected).open_store()
    calls = list(store.calls())
    store.close()
    tickets = SMALL.tickets()
    assert Counter(c.site for c in calls) == {
        "triage": 40,
        "extract": 40,
        "policy_check": 40,
        "case_line": 40,
        "follow_up": 40,
        "reply": 20,
        "next_action": 80,
    }
    assert all(c.status == 200 and c.usage is not None and c.usage.prompt_tokens > 200 for c in calls)
    assert {c.episode: c.outcome.success for c in calls if c.outcome} == {
        f"helpdesk-{t.number}": not t.fails for t in tickets
    }
    assert len({c.origin for c in calls}) == len({t.customer for t in tickets})
    assert not {c.origin for c in calls} & {t.customer for t in tickets}


def test_nothing_personal_lies_in_clear(collected: Path) -> None:
    data = b"".join(p.read_bytes() for p in collected.rglob("*") if p.is_file())
    for ticket in SMALL.tickets():
        for word in (ticket.email, ticket.phone, ticket.name, ticket.customer, ticket.order_id):
            assert word.encode() not in data


def test_a_second_start_collects_nothing_again(collected: Path) -> None:
    store = Home(collected).open_store()
    before = store.count()
    store.close()
    said: list[str] = []
    with teacher_process(SMALL.seed, latency_scale=0.0) as llm:
        loop.collect_traffic(collected, SMALL, loop.open_state(collected, SMALL), llm, silent, said.append)
    store = Home(collected).open_store()
    assert store.count() == before
    store.close()
    assert said == []


def test_the_traffic_is_curated_and_its_tasks_are_found(collected: Path) -> None:
    config = SMALL.convert().model_copy(update={"min_calls": 10})
    with Home(collected) as opened:
        convert(opened, config, stop_after="cluster")
    run_id = latest_run(opened)
    assert run_id is not None
    folder = collected / "runs" / run_id
    sealer = run_key(folder, KeyRing.open(collected))
    curated = Artifact(folder, "curate", art.Curated, sealer).read()
    # who is spoken to: replies go to people, the orchestrator's site to both, the rest to code
    assert {site.name.removeprefix(f"{AGENT}/"): site.audience for site in curated.sites} == {
        "triage": "code",
        "extract": "code",
        "policy_check": "code",
        "case_line": "code",
        "follow_up": "code",
        "next_action": "mixed",
        "reply": "human",
    }
    # half of the episodes end with a call to "reply", the other half with a message of "next_action"
    assert curated.n_calls == 300 and curated.n_code_calls == 300 - 20 - 20
    text = json.dumps([e.request.messages for e in curated.examples])
    leaked = [t.email for t in SMALL.tickets() if t.email in text]
    assert len(leaked) == 0, leaked
    discovered = Artifact(folder, "cluster", art.Discovered, sealer).read()
    kinds = Counter(t.contract.kind for t in discovered.tasks)
    assert kinds["json"] >= 2 and kinds["tool_call"] >= 1


def test_a_folder_that_is_no_demo_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds no demo"):
        loop.open_state(tmp_path, SMALL)
    with pytest.raises(UsageError, match="not deleted"):
        loop.forget(tmp_path)
    assert (tmp_path / "mine.txt").exists()


def test_other_settings_are_refused(collected: Path) -> None:
    with pytest.raises(UsageError, match="other settings"):
        loop.open_state(collected, replace(SMALL, seed=1))


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.timeout(1500)
def test_the_whole_demo(tmp_path: Path) -> None:
    if not catalogue.is_fetched("SmolLM2-135M-Instruct", models_path()):
        pytest.skip("SmolLM2-135M-Instruct is not fetched: deputize models fetch SmolLM2-135M-Instruct")
    home = tmp_path / "demo"
    command = [sys.executable, "-m", "deputize.cli.main", "--home", str(home), "--json", "demo"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1400)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert 1600 <= report["source"]["n_calls"] <= 2000
    assert len(report["tasks"]) >= 6
    replayed = report["replay"]
    assert replayed["n_calls"] == 200
    # certified routes serve most of their calls, and do it as the LLM would have
    assert report["total"]["share_of_code_calls_served"] >= 0.5
    assert replayed["by_server"]["slm"]["n_calls"] >= 80
    assert replayed["by_server"]["slm"]["agreement"] >= 0.9
    folder = home / "runs" / report["run_id"]
    page = (folder / "report.html").read_text("utf-8")
    assert "http://" not in page.replace("http://www.w3.org", "") and "<svg" in page
    assert json.loads((folder / "report.json").read_text("utf-8"))["replay"] == replayed
    # once more: nothing is done again
    again = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["replay"] == replayed
