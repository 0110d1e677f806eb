"""What can go wrong at the command line, in processes of their own: a sentence, an exit code, nothing lost."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.command import DEPUTIZE

from deputize.home import Home
from deputize.locations import models_path
from deputize.specialists import catalogue
from deputize.testing import ScriptedUpstream, always, in_thread


def run(home: Path, *arguments: str, **settings: Any) -> subprocess.CompletedProcess[str]:
    done: subprocess.CompletedProcess[str] = subprocess.run(
        [*DEPUTIZE, "--home", str(home), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
        **settings,
    )
    assert "Traceback" not in done.stdout + done.stderr
    return done


def log(path: Path, n: int, text: str = "Is order {} late?") -> Path:
    with path.open("w") as out:
        for i in range(n):
            row = {
                "id": f"c{i}",
                "run_id": f"e{i}",
                "messages": [{"role": "user", "content": text.format(i)}],
                "response": {"role": "assistant", "content": "yes" if i % 3 else "no"},
            }
            out.write(json.dumps(row) + "\n")
    return path


def test_convert_on_an_empty_home_says_what_is_missing(tmp_path: Path) -> None:
    done = run(tmp_path / "home", "convert")
    assert done.returncode in (3, 4)
    assert done.stderr.splitlines()[-1].startswith("deputize: ")


@pytest.mark.parametrize("content", ["", "{broken\n", '{"messages": []}\n', "[]\n"])
def test_convert_of_a_log_without_a_call(tmp_path: Path, content: str) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text(content)
    done = run(tmp_path / "home", "convert", str(path))
    assert done.returncode in (3, 4)
    assert done.stderr.strip()


def test_an_unknown_model_is_bad_input_and_a_known_one_that_is_not_here_is_named(tmp_path: Path) -> None:
    environ = {**os.environ, "DEPUTIZE_MODELS": str(tmp_path / "models")}
    done = run(tmp_path / "home", "convert", "--model", "SmolLM2-135M-Instrukt", env=environ)
    assert done.returncode == 3
    assert "SmolLM2-135M-Instruct" in done.stderr
    done = run(tmp_path / "home", "convert", "--model", "SmolLM2-135M-Instruct", env=environ)
    assert done.returncode == 4
    assert "deputize models fetch SmolLM2-135M-Instruct" in done.stderr


def test_settings_that_cannot_be_used(tmp_path: Path) -> None:
    assert run(tmp_path / "home", "convert", "--epsilon", "2").returncode == 2
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "config.toml").write_text("[convert]\nepsilom = 0.1\n")
    done = run(tmp_path / "home", "convert")
    assert done.returncode == 3
    assert "epsilom" in done.stderr and "config.toml" in done.stderr


def test_a_port_in_use(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = run(tmp_path / "home", "serve", "--upstream", "http://127.0.0.1:9", "--port", port)
    assert done.returncode == 2
    assert port in done.stderr and "--port" in done.stderr


def test_serving_without_an_upstream(tmp_path: Path) -> None:
    done = run(tmp_path / "home", "serve", "--port", "0")
    assert done.returncode == 2
    assert "--upstream" in done.stderr


Gateway = Callable[[str], tuple[str, subprocess.Popen[str]]]


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    """`deputize serve` as a user runs it, in front of whatever URL is given."""
    started: list[subprocess.Popen[str]] = []

    def start(upstream: str) -> tuple[str, subprocess.Popen[str]]:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [
            *DEPUTIZE,
            "--home",
            str(tmp_path / "home"),
            "serve",
            "--upstream",
            upstream,
            "--port",
            str(port),
        ]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        started.append(process)
        for _ in range(300):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1):
                    return f"http://127.0.0.1:{port}", process
            except (urllib.error.URLError, OSError):
                assert process.poll() is None
                time.sleep(0.1)
        raise AssertionError("the gateway does not answer")

    yield start
    for process in started:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=60)


def ask(url: str, text: str) -> tuple[int, dict[str, Any]]:
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]}).encode()
    request = urllib.request.Request(f"{url}/v1/chat/completions", body, {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_an_llm_that_does_not_answer_is_a_502_and_is_recorded(tmp_path: Path, gateway: Gateway) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nobody = probe.getsockname()[1]
    url, _ = gateway(f"http://127.0.0.1:{nobody}")
    status, answer = ask(url, "hello")
    assert status == 502
    assert set(answer["error"]) >= {"message", "type"}
    store = Home(tmp_path / "home").open_store()
    # it is in the journal by now; a process of its own brings it into the store
    until = time.monotonic() + 20
    while not store.count() and time.monotonic() < until:
        time.sleep(0.05)
    assert [c.status for c in store.calls()] == [502]
    store.close()


def test_a_two_megabyte_prompt_passes_and_ctrl_c_ends_the_gateway_in_order(
    tmp_path: Path, gateway: Gateway
) -> None:
    text = "long " * 400_000
    with in_thread(ScriptedUpstream(always("read"))) as llm:
        url, process = gateway(llm.url)
        status, answer = ask(url, text)
        assert status == 200
        assert answer["choices"][0]["message"]["content"] == "read"
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode in (0, 130)
    assert "Traceback" not in said
    store = Home(tmp_path / "home").open_store()
    assert next(iter(store.calls())).messages[0]["content"] == text
    store.close()


@pytest.mark.parametrize("after_s", [0.0, 0.4])
def test_ctrl_c_during_an_import_loses_nothing(tmp_path: Path, after_s: float) -> None:
    path = log(tmp_path / "log.jsonl", 20_000)
    command = [*DEPUTIZE, "--home", str(tmp_path / "home"), "import", str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        process.stderr.readline()  # it is at work
        time.sleep(after_s)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    if process.returncode == 0:
        pytest.skip("the import was faster than the signal")
    assert process.returncode == 130
    assert said.strip().endswith("Stopped; run the same command again to go on.")
    assert "Traceback" not in said
    done = run(tmp_path / "home", "--json", "import", str(path))
    assert done.returncode == 0
    assert json.loads(done.stdout)["n_stored"] == 20_000


@pytest.mark.model
def test_ctrl_c_during_convert_goes_on_where_it_was(tmp_path: Path) -> None:
    if not catalogue.is_fetched("SmolLM2-135M-Instruct", models_path()):
        pytest.skip("SmolLM2-135M-Instruct is not fetched: deputize models fetch SmolLM2-135M-Instruct")
    path = log(tmp_path / "log.jsonl", 300)
    home = tmp_path / "home"
    command = [*DEPUTIZE, "--home", str(home), "convert", str(path), "--minutes", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        lines: list[str] = []

        def read() -> None:
            assert process.stderr is not None
            lines.extend(process.stderr)

        reader = threading.Thread(target=read)
        reader.start()
        for _ in range(600):
            if list(home.glob("runs/*/curate.sealed")) or process.poll() is not None:
                break
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)
        reader.join()
    assert process.returncode in (0, 130), lines
    assert "Traceback" not in "".join(lines)
    (state,) = home.glob("runs/*/run.json")
    assert json.loads(state.read_text())["n_calls"] == 300
    done = run(home, "curate")
    assert done.returncode == 0, done.stderr
    assert len(list(home.glob("runs/*"))) == 1
