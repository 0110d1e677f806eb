"""From a log to served answers as a user does it: `deputize convert`, `deputize serve`, an unchanged OpenAI client."""

from __future__ import annotations

import json
import os
import random
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests import tiny_model
from tests.command import DEPUTIZE

from deputize.core.records import Message
from deputize.home import Home
from deputize.locations import models_path
from deputize.specialists import catalogue
from deputize.store.access.audit_log import AuditLog
from deputize.store.keys.keyring import KeyRing
from deputize.testing import ScriptedUpstream, always, in_thread

openai = pytest.importorskip("openai")

LATE = ("a week overdue", "lost by the courier", "days behind schedule", "not moving for days")
FINE = ("out for delivery", "due tomorrow", "on its way", "at the pick-up point")
LABEL = "Is this parcel late? Answer with one word: yes or no."
LINE = "Write the one line for the ticket system, in the form: <state> | order <number>. Answer with the line only."
CHAT = "You chat with a customer. Be kind."


def parcel(index: int, *, late: bool) -> tuple[str, str, str]:
    """(prompt, order number, state) of a simulated parcel."""
    rng = random.Random(f"parcel {index}")
    number, state = f"LH-{rng.randrange(10_000, 99_999)}", rng.choice(LATE if late else FINE)
    return f"Parcel: {number}\nState: {state}", number, state


def messages(system: str, text: str) -> list[Message]:
    return [{"role": "system", "content": system}, {"role": "user", "content": text}]


def label_row(index: int) -> dict[str, Any]:
    late = index % 2 == 0
    text, _, _ = parcel(index, late=late)
    answer = {"role": "assistant", "content": "yes" if late else "no"}
    return {"id": f"c{index}", "run_id": f"e{index}", "messages": messages(LABEL, text), "response": answer}


def line_row(index: int) -> dict[str, Any]:
    text, number, state = parcel(index, late=index % 2 == 0)
    answer = {"role": "assistant", "content": f"{state} | order {number}"}
    return {
        "id": f"l{index}",
        "run_id": f"e{index}",
        "messages": messages(LINE, text),
        "response": answer,
        "audience": "code",
        # as of a longer prompt: else a language model on this processor costs more than it saves
        "cost_usd": 0.01,
    }


def convert(
    home: Path, rows: list[dict[str, Any]], environ: dict[str, str], *arguments: str
) -> dict[str, Any]:
    """`deputize convert` on a log; its report."""
    home.mkdir(exist_ok=True)
    (home / "config.toml").write_text('[routes]\nstart = "live"\n')
    path = home.with_suffix(".jsonl")
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = [*DEPUTIZE, "--home", str(home), "--json", "convert", str(path), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ, timeout=1500)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


@contextmanager
def served(home: Path, upstream: str, environ: dict[str, str]) -> Iterator[str]:
    """`deputize serve` as a user runs it; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [*DEPUTIZE, "--home", str(home), "serve", "--upstream", upstream, "--port", str(port)]
    said = home.with_suffix(".serve.txt")
    with said.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=environ)
    try:
        for _ in range(600):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1):
                    break
            except (urllib.error.URLError, OSError):
                assert process.poll() is None, said.read_text()
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(timeout=60)


def ask(client: Any, system: str, text: str, *, stream: bool) -> tuple[str, Any]:
    """(answer, headers), as any OpenAI client gets them."""
    request = {"model": "gpt-4o", "messages": messages(system, text), "temperature": 0}
    if not stream:
        raw = client.chat.completions.with_raw_response.create(**request)
        return raw.parse().choices[0].message.content, raw.headers
    chunks = client.chat.completions.create(**request, stream=True)
    return "".join(c.choices[0].delta.content or "" for c in chunks if c.choices), chunks.response.headers


def wait_for_specialist(client: Any, system: str, text: str) -> int:
    """A specialist is loaded at its first call, which the LLM answers meanwhile. Returns how many calls it took."""
    for n in range(1, 601):
        if ask(client, system, text, stream=False)[1].get("x-deputize-served-by") == "slm":
            return n
        time.sleep(0.2)
    raise AssertionError("no specialist answers")


def check(
    home: Path, environ: dict[str, str], system: str, cases: list[tuple[str, str]], at_least: float
) -> None:
    """Certified calls get the specialist's answers, others the LLM's, streamed or not; all of them are recorded."""
    before = count(home)
    # calls are counted here, and this LLM contradicts every specialist
    (home / "config.toml").write_text("[gateway]\naudit_share = 0.0\n")
    with in_thread(ScriptedUpstream(always("from the LLM"))) as llm, served(home, llm.url, environ) as url:
        client = openai.OpenAI(base_url=url, api_key="unchanged")
        before += wait_for_specialist(client, system, cases[0][0])
        n_served = 0
        for n, (text, truth) in enumerate(cases):
            answer, headers = ask(client, system, text, stream=n % 2 == 1)
            if headers["x-deputize-served-by"] == "slm":
                n_served += 1
                assert answer == truth
                assert headers["x-deputize-route"] and headers["x-deputize-certificate"]
                assert 0 < float(headers["x-deputize-confidence"]) <= 1
            else:
                assert answer == "from the LLM"
        assert n_served >= at_least * len(cases)
        for stream in (False, True):
            answer, headers = ask(client, CHAT, "Hello there", stream=stream)
            assert answer == "from the LLM" and headers["x-deputize-served-by"] == "llm"
        client.close()
    assert count(home) == before + len(cases) + 2
    store = Home(home).open_store()
    newest = [call for call in store.calls() if call.decision is not None][-len(cases) - 2 :]
    store.close()
    assert sum(call.decision.served_by == "slm" for call in newest if call.decision) == n_served


def count(home: Path) -> int:
    store = Home(home).open_store()
    try:
        return store.count()
    finally:
        store.close()


@pytest.mark.timeout(900)
def test_an_unchanged_client_gets_what_was_certified_and_the_llm_for_the_rest(
    tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("peft")
    folder = tmp_path_factory.mktemp("models")
    tiny_model.installed(folder / "models", folder)
    environ = {**os.environ, "DEPUTIZE_MODELS": str(folder / "models"), "HF_HUB_OFFLINE": "1"}
    home = tmp_path / "home"
    report = convert(
        home,
        [label_row(i) for i in range(240)],
        environ,
        "--model",
        tiny_model.NAME,
        "--epsilon",
        "0.1",
        "--minutes",
        "10",
    )
    (task,) = report["tasks"]
    assert task["certificate"] is not None, task["refusal_reason"]
    published = [
        e.detail["state"] for e in AuditLog(home, KeyRing.open(home)).entries() if e.action == "route.publish"
    ]
    assert published == ["live"]
    assert task["held_out"]["share_served"] >= 0.75, "most of its calls; 48 of them are held out"
    cases = [(parcel(9000 + i, late=i % 2 == 0)[0], "yes" if i % 2 == 0 else "no") for i in range(8)]
    check(home, environ, LABEL, cases, at_least=0.75)


@pytest.mark.slow
@pytest.mark.model
@pytest.mark.timeout(2400)
def test_the_same_with_a_small_language_model_that_writes_its_answers(tmp_path: Path) -> None:
    """A line put together of what is in the prompt: no linear model can write it, SmolLM2-135M can."""
    if not catalogue.is_fetched("SmolLM2-135M-Instruct", models_path()):
        pytest.skip("SmolLM2-135M-Instruct is not fetched: deputize models fetch SmolLM2-135M-Instruct")
    home, environ = tmp_path / "home", dict(os.environ)
    report = convert(home, [line_row(i) for i in range(240)], environ, "--epsilon", "0.1", "--minutes", "12")
    (task,) = report["tasks"]
    if task["certificate"] is None and task["refusal_reason"].startswith("lora leaks: "):
        # fails closed: what remembers planted secrets is not served, however well it writes
        assert "planted secrets" in task["refusal_reason"] and not report["total"]["n_routes"]
        (test,) = [t for t in task["leak_tests"] if t["method"] == "lora"]
        assert test["n_extracted"] or test["bits_remaining"] < 20, test
        pytest.skip(
            f"the leak test refused the specialist, so there is nothing to serve ({task['refusal_reason']})"
        )
    assert task["certificate"] is not None, task["refusal_reason"]
    assert next(r for r in task["methods"] if r.get("chosen"))["method"] == "lora"
    cases = []
    for i in range(8):
        text, number, state = parcel(9000 + i, late=i % 2 == 0)
        cases.append((text, f"{state} | order {number}"))
    check(home, environ, LINE, cases, at_least=0.5)
