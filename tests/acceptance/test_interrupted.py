"""Ctrl-C and kill -9 at any stage, in processes of their own: nothing lost, nothing left running, and it goes on."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests import tiny_model
from tests.command import DEPUTIZE

from deputize.core.artifacts import Curated
from deputize.home import Home
from deputize.pipeline.artifact import Artifact
from deputize.store.keys.keyring import KeyRing
from deputize.store.keys.run_keys import run_key
from deputize.testing import call

LATE = ("a week overdue", "lost by the courier", "days behind schedule", "not moving for days")
FINE = ("out for delivery", "due tomorrow", "on its way", "at the pick-up point")


def log(path: Path, n: int) -> Path:
    """A simulated agent's yes/no check, one call an episode."""
    rng = random.Random(0)
    with path.open("w") as out:
        for i in range(n):
            late = i % 2 == 0
            text = f"Parcel: LH-{rng.randrange(10_000, 99_999)}\nState: {rng.choice(LATE if late else FINE)}"
            row = {
                "id": f"c{i}",
                "run_id": f"e{i}",
                "response": {"role": "assistant", "content": "yes" if late else "no"},
                "messages": [
                    {"role": "system", "content": "Is this parcel late? Answer with one word: yes or no."},
                    {"role": "user", "content": text},
                ],
            }
            out.write(json.dumps(row) + "\n")
    return path


@pytest.fixture(scope="module")
def environ(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment in which the tiny model is fetched."""
    pytest.importorskip("torch")
    pytest.importorskip("peft")
    folder = tmp_path_factory.mktemp("models")
    tiny_model.installed(folder / "models", folder)
    return {**os.environ, "DEPUTIZE_MODELS": str(folder / "models"), "HF_HUB_OFFLINE": "1"}


def start(home: Path, *arguments: str, environ: dict[str, str], said: Path) -> subprocess.Popen[bytes]:
    command = [*DEPUTIZE, "--home", str(home), *arguments]
    with said.open("wb") as out:
        return subprocess.Popen(command, stdout=out, stderr=out, env=environ, start_new_session=True)


def wait_for(
    process: subprocess.Popen[bytes], is_there: Callable[[], bool], timeout_s: float = 400.0
) -> bool:
    """Whether it came about before the process ended or time ran out."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline and process.poll() is None:
        if is_there():
            return True
        time.sleep(0.05)
    return is_there()


def family(pid: int) -> list[int]:
    """A process and all that descend from it."""
    parents: dict[int, list[int]] = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            except (OSError, IndexError):
                continue
            parents.setdefault(parent, []).append(int(folder.name))
    found = [pid]
    for one in found:
        found += parents.get(one, [])
    return found


def ended(pids: list[int], timeout_s: float = 60.0) -> bool:
    """Whether all of them end in time."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if not any(
            Path(f"/proc/{pid}/cmdline").is_file() and Path(f"/proc/{pid}/cmdline").read_bytes()
            for pid in pids
        ):
            return True
        time.sleep(0.1)
    return False


N_DESK = 400
"""Long calls, so that few of them are most of a megabyte and the writing of them can be caught half way."""
MARK = "quizzical-harbour"
"""In every mail address of the simulated calls below."""


def in_clear(*folders: Path) -> list[str]:
    """The files that hold a mail address as it was, in one of the usual encodings."""
    forms = [MARK.encode(), MARK.upper().encode(), MARK.encode("utf-16-le"), MARK.encode().hex().encode()]
    files = [p for folder in folders for p in folder.rglob("*") if p.is_file()]
    return [str(p) for p in files if any(form in p.read_bytes() for form in forms)]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_s2_stopped_half_way_leaves_nothing_in_clear_and_begins_again(tmp_path: Path) -> None:
    """A disk that is full, kill -9 and Ctrl-C while the examples are being written; then it is let go."""
    home, temporary = tmp_path / "home", tmp_path / "tmp"
    temporary.mkdir()
    rng = random.Random(0)
    store = Home(home).open_store()
    store.append(
        [
            call(
                f"c{i}",
                f"From: ann{i}@{MARK}.example\nState: {rng.choice((*LATE, *FINE))} {i}"
                + "\n"
                + "as before " * 170,
                rng.choice(("yes", "no")),
                episode=f"e{i}",
                agent="desk",
                timestamp=1.7e9 + i,
            )
            for i in range(N_DESK)
        ]
    )
    store.close()
    environ = {**os.environ, "TMPDIR": str(temporary)}

    def parts() -> list[Path]:
        return list(home.glob("runs/*/.curate.sealed.part"))

    def is_half_way(began: float) -> bool:
        try:
            return any(s.st_size > 150_000 and s.st_mtime > began for s in (p.stat() for p in parts()))
        except FileNotFoundError:
            return False

    for how, code, sentence in (
        ("full", 1, "could not be written"),
        (signal.SIGKILL, -signal.SIGKILL, ""),
        (signal.SIGINT, 130, "Stopped; run the same command again to go on."),
    ):
        began = time.time()
        process = start(home, "curate", environ=environ, said=tmp_path / "said.txt")
        assert wait_for(process, lambda began=began: is_half_way(began)), (  # type: ignore[misc]
            tmp_path / "said.txt"
        ).read_text()
        pids = family(process.pid)
        if isinstance(how, str):
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (150_000, resource.RLIM_INFINITY))
        else:
            os.kill(process.pid, how)
        assert process.wait(timeout=120) == code, (tmp_path / "said.txt").read_text()
        said = (tmp_path / "said.txt").read_text()
        assert sentence in said and "Traceback" not in said
        assert ended(pids), "its helpers end with it"
        assert not list(home.glob("runs/*/curate.sealed")), "half a result is none"
        assert bool(parts()) == (how == signal.SIGKILL)
        assert in_clear(home, temporary) == []
    process = start(home, "curate", environ=environ, said=tmp_path / "said.txt")
    assert process.wait(timeout=300) == 0, (tmp_path / "said.txt").read_text()
    (folder,) = (home / "runs").iterdir()
    curated = Artifact(folder, "curate", Curated, run_key(folder, KeyRing.open(home))).read()
    assert {e.call_id for e in curated.examples} == {f"c{i}" for i in range(N_DESK)}
    assert parts() == [] and in_clear(home, temporary, tmp_path / "said.txt") == []


@pytest.mark.timeout(1800)
def test_a_convert_stopped_in_every_stage_ends_as_if_it_had_not_been(
    tmp_path: Path, environ: dict[str, str]
) -> None:
    """Each start gets one stage further before it is stopped, by Ctrl-C and kill -9 in turn."""
    home, path = tmp_path / "home", log(tmp_path / "log.jsonl", 200)
    arguments = ["convert", str(path), "--model", tiny_model.NAME, "--epsilon", "0.1", "--minutes", "10"]
    for number, step in enumerate(("curate", "cluster", "select", "finetune")):
        process = start(home, *arguments, environ=environ, said=tmp_path / "said.txt")
        done = wait_for(process, lambda step=step: bool(list(home.glob(f"runs/*/{step}.sealed"))))  # type: ignore[misc]
        said = (tmp_path / "said.txt").read_text()
        assert done, said
        pids = family(process.pid)
        os.killpg(process.pid, signal.SIGKILL if number % 2 else signal.SIGINT)
        code = process.wait(timeout=60)
        said = (tmp_path / "said.txt").read_text()
        assert code in ((-signal.SIGKILL, 0) if number % 2 else (130, 0)), said
        assert "Traceback" not in said
        assert ended(pids)
    process = start(home, "--json", *arguments, environ=environ, said=tmp_path / "said.txt")
    assert process.wait(timeout=240) == 0, (tmp_path / "said.txt").read_text()
    assert len(list(home.glob("runs/*"))) == 1, "it was one run all along"
    report = json.loads(next(home.glob("runs/*/report.json")).read_text())
    assert report["source"]["n_calls"] == 200
    (task,) = report["tasks"]
    assert task["certificate"] is not None, task["refusal_reason"]
    store = Home(home).open_store()
    assert store.count() == 200
    store.close()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_demo_stopped_during_its_traffic_leaves_no_process_behind(
    tmp_path: Path, environ: dict[str, str], how: signal.Signals
) -> None:
    """The simulated LLM and the gateway are processes of the demo's own; they end with it, however it ends."""
    from deputize.locations import models_path
    from deputize.specialists import catalogue

    if not catalogue.is_fetched("SmolLM2-135M-Instruct", models_path()):
        pytest.skip("SmolLM2-135M-Instruct is not fetched: deputize models fetch SmolLM2-135M-Instruct")
    home = tmp_path / "demo"
    process = start(home, "demo", "--episodes", "400", environ=dict(os.environ), said=tmp_path / "said.txt")
    came = wait_for(process, lambda: "simulated tickets: 1" in (tmp_path / "said.txt").read_text())
    assert came, (tmp_path / "said.txt").read_text()
    pids = family(process.pid)
    assert len(pids) >= 3, "the demo, its simulated LLM and its gateway"
    os.kill(process.pid, how)
    process.wait(timeout=60)
    assert ended(pids)
    assert "Traceback" not in (tmp_path / "said.txt").read_text()
    kept = Home(home).open_store()
    assert kept.count() > 0, "what was recorded is there"
    kept.close()
