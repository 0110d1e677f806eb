"""The examples run as their README says, in processes of their own, against the simulated LLM that they bring."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deputize.gateway.child_process import start_gateway_process
from deputize.home import Home
from deputize.testing import ScriptedUpstream, in_thread

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
OTHER_LIBRARIES = ROOT / ".env-clients" / "bin" / "python"
"""Of libraries that want other versions than ours (`make clients`)."""
AGENTS = {
    "openai_agent": sys.executable,
    "openai_agents_sdk": sys.executable,
    "pydantic_ai_agent": sys.executable,
    "anthropic_agent": sys.executable,
    "langgraph_agent": str(OTHER_LIBRARIES),
}
"""Examples in front of a gateway that is there already, and the Python that runs them."""
WHOLE = {
    "code_agency": ["recorded:", "With 95 % confidence", "letters went to the LLM"],
    "several_tenants": [
        "north: 240 calls; 1 certified route",
        "south: 20 calls; ",
        "south: 0 of 50 new letters",
    ],
    "offline_laptop": ["letters sorted offline; torch loaded: False"],
}
"""Examples that do everything themselves, and what they say in the end."""


def ran(command: list[str], folder: Path, **environ: str) -> str:
    """What a program says; its failure is the test's."""
    env = {**os.environ, "PYTHONPATH": str(EXAMPLES), **environ}
    env.pop("DEPUTIZE_HOME", None)
    done = subprocess.run(
        command, cwd=folder, env=env, capture_output=True, text=True, timeout=900, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr[-4000:]}"
    return done.stdout


def test_the_readme_lists_every_example_and_each_is_short() -> None:
    page = (EXAMPLES / "README.md").read_text("utf-8")
    for path in EXAMPLES.glob("*.py"):
        assert len(path.read_text("utf-8").splitlines()) <= 90, path.name
        assert f"]({path.name})" in page or path.stem in ("simulated_llm", "word_counts"), path.name
    assert {*AGENTS, *WHOLE} <= {path.stem for path in EXAMPLES.glob("*.py")}
    assert "](certificates.ipynb)" in page


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[str]:
    answer: Any = runpy.run_path(str(EXAMPLES / "letters.py"))["answer"]
    with (
        in_thread(ScriptedUpstream(answer)) as llm,
        start_gateway_process(tmp_path / "home", upstream=llm.url) as running,
    ):
        yield running.base_url


@pytest.mark.slow
@pytest.mark.parametrize("example", AGENTS)
def test_an_agent_in_front_of_the_gateway(example: str, gateway: str, tmp_path: Path) -> None:
    python = AGENTS[example]
    if not Path(python).exists():
        pytest.skip("LangGraph is in an environment of its own: `make clients` puts it into .env-clients")
    said = ran([python, str(EXAMPLES / f"{example}.py")], tmp_path, DEPUTIZE_URL=gateway)
    assert said.count("packed, leaves today") == 3, said
    with Home(tmp_path / "home") as home:
        calls = list(home.store.calls())
    # a tool call and an answer for each of three letters, of which each is an episode
    assert len(calls) == 6 and {call.agent for call in calls} == {"desk"}
    assert sum(bool(call.response.get("tool_calls")) for call in calls) == 3


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.timeout(900)
@pytest.mark.parametrize("example", WHOLE)
def test_an_example_that_does_everything_itself(example: str, tmp_path: Path) -> None:
    said = ran([sys.executable, str(EXAMPLES / f"{example}.py")], tmp_path)
    for sentence in WHOLE[example]:
        assert sentence in said, said


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.timeout(900)
def test_every_cell_of_the_notebook_runs(tmp_path: Path) -> None:
    cells = json.loads((EXAMPLES / "certificates.ipynb").read_text("utf-8"))["cells"]
    assert not any(cell.get("outputs") for cell in cells), "stored without outputs"
    code = [
        ("".join(cell["source"]), f"cell {n}") for n, cell in enumerate(cells) if cell["cell_type"] == "code"
    ]
    program = tmp_path / "cells.py"
    program.write_text(
        f"names = {{'__name__': 'cells'}}\nfor source, name in {code!r}:\n    exec(compile(source, name, 'exec'), names)\n",
        "utf-8",
    )
    said = ran([sys.executable, str(program)], EXAMPLES)
    assert "promised: at most 5 %" in said and "<- certified" in said
