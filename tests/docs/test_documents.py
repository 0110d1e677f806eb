"""Every documented command is run, every command and word is documented."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import re
import shlex
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import click
import pytest

from deputize.cli.main import cli
from deputize.cli.reference import markdown
from deputize.demo import teacher, traffic, world
from deputize.demo.agent import Seen
from deputize.locations import models_path
from deputize.specialists import catalogue
from deputize.testing import ScriptedUpstream, always, in_thread, running

ROOT = Path(__file__).resolve().parents[2]
GUIDES = sorted((ROOT / "docs" / "guides").glob("*.md"))
PAGES = [
    ROOT / "README.md",
    ROOT / "ARCHITECTURE.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]

_BLOCK = re.compile(r"^```(console|python)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_COMMAND = re.compile(r"(?:`|^\s*(?:\$ )?)deputize ([a-z]+\b(?![:/])[^`#|&;\n]*)", re.MULTILINE)
"""Command lines, in blocks and in running text."""
_RUN = re.compile(r"<!-- run: (fast|slow) -->")


def test_the_reference_is_what_the_commands_say() -> None:
    assert (ROOT / "docs" / "reference" / "cli.md").read_text("utf-8") == markdown(), (
        "run: python -m deputize.cli.reference > docs/reference/cli.md"
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_links_lead_somewhere_and_commands_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    for target in re.findall(r"\]\((?!https?://|#|mailto:)([^)#]+)", text):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"
    if page.name == "CHANGELOG.md":
        return  # names commands that are gone
    for words in _COMMAND.findall(text):
        assert not (wrong := _unknown(words.split())), f"{page.name} shows deputize {words}: {wrong}"


def _unknown(words: list[str]) -> str:
    """The first word of a command line that names no command and no option; "" where there is none."""
    command: click.Command = cli
    while isinstance(command, click.Group) and words and words[0].isalpha():
        inner = command.get_command(click.Context(command), words[0])
        if inner is None:
            return words[0]
        command, words = inner, words[1:]
    known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
    named = [match[0] for word in words if (match := re.match("--[a-z-]+", word))]
    return next((name for name in named if name not in known | {"--home", "--json", "--help"}), "")


def test_the_readme_says_it_all_on_its_first_screen() -> None:
    first = "\n".join((ROOT / "README.md").read_text("utf-8").splitlines()[:40])
    for word in ("make demo", "make test", "SLM", "certificate", "simulated"):
        assert word in first


def test_the_guides_say_how_they_are_run() -> None:
    assert GUIDES
    for guide in GUIDES:
        assert _RUN.search(guide.read_text("utf-8")), guide.name


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log in the documented form, made by the simulated agent."""

    async def record() -> list[Seen]:
        async with running(ScriptedUpstream(teacher.script(0))) as upstream:
            tickets = [world.ticket(0, i) for i in range(240)]
            return await traffic.run_episodes(upstream.url + "/v1", tickets, feedback=False)

    path = tmp_path_factory.mktemp("log") / "calls.jsonl.gz"
    with gzip.open(path, "wt") as out:
        for number, one in enumerate(asyncio.run(record())):
            row = {
                "id": f"c{number}",
                "agent": "shop",
                "run_id": one.episode,
                "messages": one.messages,
                "tools": one.tools,
                "response": one.response,
                "origin": f"customer-{number % 50}",
                "site": one.site,
            }
            out.write(json.dumps(row) + "\n")
    return path


@pytest.mark.parametrize(
    "guide",
    [
        pytest.param(
            guide,
            id=guide.stem,
            marks=[pytest.mark.slow, pytest.mark.model, pytest.mark.timeout(1500)]
            if "run: slow" in guide.read_text("utf-8")
            else [],
        )
        for guide in GUIDES
    ],
)
def test_every_documented_command_runs(guide: Path, log: Path, tmp_path: Path) -> None:
    text = guide.read_text("utf-8")
    if "run: slow" in text and not catalogue.is_fetched("SmolLM2-135M-Instruct", models_path()):
        pytest.skip("SmolLM2-135M-Instruct is not fetched: deputize models fetch SmolLM2-135M-Instruct")
    (tmp_path / log.name).write_bytes(log.read_bytes())
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    started: list[subprocess.Popen[bytes]] = []
    with in_thread(ScriptedUpstream(always("yes"))) as llm:
        environ = {**os.environ, "PATH": path, "LLM_URL": llm.url}
        environ.pop("DEPUTIZE_HOME", None)
        try:
            for kind, body in _BLOCK.findall(text):
                if kind == "python":
                    _check([sys.executable, "-W", "error", "-c", body], tmp_path, environ)
                    continue
                for line in body.splitlines():
                    command = line.removeprefix("$ ")
                    if command.endswith("&"):
                        started.append(_background(command[:-1], tmp_path, environ))
                    else:
                        _check(["bash", "-c", command], tmp_path, environ)
        finally:
            for process in started:
                process.terminate()
                process.wait(timeout=60)


def _check(command: list[str], folder: Path, environ: dict[str, str]) -> None:
    done = subprocess.run(
        command, cwd=folder, env=environ, capture_output=True, text=True, check=False, timeout=1200
    )
    assert done.returncode == 0, f"{command[-1]}\n{done.stdout}\n{done.stderr}"


def _background(command: str, folder: Path, environ: dict[str, str]) -> subprocess.Popen[bytes]:
    words = shlex.split(command.replace("$LLM_URL", environ["LLM_URL"]))
    with (folder / "background.log").open("ab") as out:
        process = subprocess.Popen(words, cwd=folder, env=environ, stdout=out, stderr=out)
    port = words[words.index("--port") + 1]
    for _ in range(600):
        assert process.poll() is None, (folder / "background.log").read_text()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1):
                return process
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    process.terminate()
    raise AssertionError(f"{command} does not answer")
