"""The specialists' process and its client, with a simulated specialist that echoes or misbehaves on request."""

from __future__ import annotations

import asyncio
import os
import sys
import textwrap
import threading
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from deputize.core.errors import BadInput
from deputize.core.records import Prediction, Request
from deputize.engines.local.client import LocalPool, SpecialistError
from deputize.engines.local.frames import Question, Reply
from deputize.engines.local.worker import Batcher

SIMULATED = textwrap.dedent(
    """
    import deputize.engines.local.predict as real, os, sys, time
    from deputize.core.records import Prediction
    from deputize.core.errors import BadInput

    class Echo:
        def __init__(self, folder): self.folder = folder
        def predict(self, requests):
            out = []
            for request in requests:
                text = request.messages[-1]["content"]
                if text == "die": os._exit(9)
                if text == "raise": raise ValueError("secret payload")
                if text == "slow": time.sleep(1.5)
                out.append(Prediction(answer=text.upper(), confidence=0.9, n_output_tokens=len(requests)))
            return out

    def load(folder, models):
        if folder.name == "bad": raise BadInput("it holds no specialist")
        return Echo(folder)

    import deputize.engines.local.worker as worker
    real.load, real.unload = load, lambda p: None
    worker.main()
    """
)


def ask(text: str) -> Request:
    return Request(messages=[{"role": "user", "content": text}])


@pytest.fixture
async def pool(tmp_path: Path) -> AsyncIterator[LocalPool]:
    script = tmp_path / "simulated_worker.py"
    script.write_text(SIMULATED)
    made = LocalPool(tmp_path, tmp_path, command=[sys.executable, str(script)])
    yield made
    await made.stop()


async def test_answers_come_back_to_their_questions_and_are_batched(pool: LocalPool) -> None:
    await pool.warm(["a"])
    answers = await asyncio.gather(*(pool.predict("a", ask(f"q{i}"), 10) for i in range(40)))
    assert [a.answer for a in answers] == [f"Q{i}" for i in range(40)]
    assert max(a.n_output_tokens for a in answers) > 1  # the simulated specialist reports its batch size there


async def test_failures_are_sentences_without_payload(pool: LocalPool) -> None:
    with pytest.raises(SpecialistError, match="holds no specialist"):
        await pool.predict("bad", ask("x"), 10)
    with pytest.raises(SpecialistError) as caught:
        await pool.predict("a", ask("raise"), 10)
    assert "secret" not in str(caught.value)
    with pytest.raises(SpecialistError, match="outside the home"):
        await pool.predict("../elsewhere", ask("x"), 10)


async def test_a_slow_answer_times_out_and_the_next_one_arrives(pool: LocalPool) -> None:
    await pool.warm(["a"])
    with pytest.raises(TimeoutError):
        await pool.predict("a", ask("slow"), 0.2)
    assert (await pool.predict("a", ask("ok"), 10)).answer == "OK"


async def test_a_dead_process_fails_what_is_open_and_comes_back(pool: LocalPool) -> None:
    await pool.warm(["a"])
    with pytest.raises(SpecialistError):
        await pool.predict("a", ask("die"), 10)
    assert (await pool.predict("a", ask("ok"), 20)).answer == "OK"
    assert pool.n_starts == 2


async def test_the_process_ends_with_its_parent(tmp_path: Path) -> None:
    script = tmp_path / "worker.py"
    script.write_text(SIMULATED)
    socket = tmp_path / "s.sock"
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(script), "--home", str(tmp_path), "--models", str(tmp_path), "--socket", str(socket),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdin is not None and process.stdout is not None
    assert await process.stdout.readline() == b"ready\n"
    process.stdin.close()  # what the kernel does when the parent is killed
    assert await asyncio.wait_for(process.wait(), 10) == 0


class Recording:
    """A simulated specialist that remembers its batches."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def predict(self, requests: Sequence[Request]) -> list[Prediction]:
        self.batches.append(len(requests))
        time.sleep(0.02)
        return [Prediction(answer="x", confidence=1.0) for _ in requests]


def test_batcher_serves_routes_in_turn_and_drops_the_one_unused_longest() -> None:
    loaded: dict[str, Recording] = {}
    dropped: list[object] = []
    order: list[str] = []
    done = threading.Event()

    def load(name: str) -> Recording:
        loaded[name] = Recording()
        return loaded[name]

    batcher = Batcher(load, unload=dropped.append, max_batch=4, max_loaded=1)

    def answered(name: str) -> None:
        order.append(name)
        if len(order) == 9:
            done.set()

    for i in range(8):
        batcher.put(Question(id=i, specialist="busy", request=ask("x")), lambda _: answered("busy"))
    batcher.put(Question(id=9, specialist="rare", request=ask("x")), lambda _: answered("rare"))
    thread = threading.Thread(target=batcher.run)
    thread.start()
    assert done.wait(10)
    batcher.end()
    thread.join(10)
    assert order.index("rare") == 4  # after one batch of the busy route, not after both
    assert len(dropped) == 2


def test_a_batch_that_cannot_load_answers_everybody() -> None:
    def load(name: str) -> Recording:
        raise BadInput("gone")

    batcher = Batcher(load)
    replies: list[Reply] = []
    done = threading.Event()

    def take(reply: Reply) -> None:
        replies.append(reply)
        if len(replies) == 3:
            done.set()

    for i in range(3):
        batcher.put(Question(id=i, specialist="s", request=ask("x")), take)
    thread = threading.Thread(target=batcher.run)
    thread.start()
    assert done.wait(10)
    batcher.end()
    thread.join(10)
    assert {r.error for r in replies} == {"gone"}


def test_the_client_imports_no_torch() -> None:
    code = "import sys, deputize.engines.local.client as c; sys.exit('torch' in sys.modules or 'sklearn' in sys.modules)"
    assert os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-c", code]) == 0
