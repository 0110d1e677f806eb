"""A worker that runs out of memory, for real: the limit of its process is put where the next allocation fails."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests import tiny_model, tiny_specialist

from deputize.cli.main import run
from deputize.core.errors import DeputizeError, UpstreamError
from deputize.core.records import Prediction, Request
from deputize.home import Home
from deputize.specialists import model_download
from deputize.specialists.serving import worker_troubles
from deputize.specialists.serving.base import EngineFailure
from deputize.specialists.serving.batcher import Batcher, Pending
from deputize.specialists.serving.frames import PredictReply, PredictRequest
from deputize.specialists.serving.pool import WorkerEngine
from deputize.specialists.serving.specialist_cache import SpecialistCache
from deputize.specialists.serving.worker import AnsweringThreads, answer
from deputize.specialists.serving.worker_troubles import (
    BROKEN_EXIT,
    LEFT_OUT_S,
    OUT_OF_MEMORY_EXIT,
    MemoryWatch,
    is_out_of_memory,
    note_end,
    read_troubles,
)

ONE_THREAD = {"OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Specialists "small", a linear model, and "large", with a language model of 60 MB."""
    home = tmp_path_factory.mktemp("memory-home")
    models = home / "models"
    source = tiny_model.make(home / "large-source", width=768)
    model_download.add("large", source, models, licence="apache-2.0")
    for name, kind in (("small", "linear"), ("large", "head")):
        tiny_specialist.make((models, "large"), home / name, kind)
    return home


@pytest.fixture(autouse=True)
def fresh(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    worker_troubles.forget_troubles(home)
    for name, value in ONE_THREAD.items():
        monkeypatch.setenv(name, value)


async def ask(pool: WorkerEngine, name: str) -> Prediction:
    return await pool.predict(name, tiny_specialist.requests(1)[0], 250)


async def asked_until_there(pool: WorkerEngine, name: str) -> Prediction:
    async with asyncio.timeout(120):
        while True:
            try:
                return await ask(pool, name)
            except UpstreamError:
                await asyncio.sleep(0.05)


def no_more_memory(pid: int, spare_mb: float) -> None:
    """Whatever a process asks for beyond what it has, and so much more, is refused by the kernel."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + int(spare_mb * 1e6)
    resource.prlimit(pid, resource.RLIMIT_AS, (limit, limit))


async def test_a_specialist_that_memory_does_not_suffice_for_is_left_out_and_the_others_answer_again(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pool = WorkerEngine(home, home / "models")
    await pool.start(timeout_s=120.0)
    try:
        await ask(pool, "small")
        first = pool.worker_pid
        assert first is not None
        no_more_memory(first, spare_mb=4)
        loop = asyncio.get_running_loop()
        began = loop.time()
        with pytest.raises(DeputizeError):
            await ask(pool, "large")
        assert loop.time() - began < 60, "who waits is told at once"
        await asked_until_there(pool, "small")
        assert pool.worker_pid not in (None, first)
        with pytest.raises(EngineFailure, match="left out: there was not enough memory for large"):
            await ask(pool, "large")
        second = pool.worker_pid
        await ask(pool, "small")
        assert pool.worker_pid == second, "it ends once, not at each call"
    finally:
        await pool.stop()
    ended, left_out = read_troubles(home).sentences(read_troubles(home).ended_s)
    assert "ended once" in ended and "not enough memory for large" in ended
    assert left_out.startswith("large is left out for 15 minutes more: ")


def test_status_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Home(tmp_path) as opened:
        assert opened.store.tenants() is not None
        now_s = opened.now()
    MemoryWatch(tmp_path, clock=lambda: now_s, end=lambda code: None).give_up("s", MemoryError())
    assert run(["--home", str(tmp_path), "status"]) == 0
    assert "s is left out for 15 minutes more: there was not enough memory for s" in capsys.readouterr().out
    assert run(["--home", str(tmp_path), "--json", "status"]) == 0
    assert len(json.loads(capsys.readouterr().out)["worker"]) == 2


class Greedy:
    """A specialist that asks for more memory than there is, for a request of the site "long"."""

    def __init__(self, folder: Path) -> None:
        pass

    def predict(self, requests: Sequence[Request]) -> list[Prediction]:
        for request in requests:
            bytearray(1 << 62 if request.site == "long" else 1)
        return [Prediction(answer="yes", confidence=1.0) for _ in requests]


def test_a_batch_is_tried_one_by_one_and_only_who_fails_alone_ends_the_worker(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    (tmp_path / "s" / "specialist.json").write_text("{}")
    ends, told = list[int](), list[PredictReply]()

    def pending(number: int, site: str) -> Pending:
        request = Request(messages=[], site=site)
        return Pending(PredictRequest(id=number, specialist="s", request=request), 1e12, told.append)

    cache = SpecialistCache(tmp_path, Greedy, lambda s: None, memory=MemoryWatch(tmp_path, end=ends.append))
    answer([pending(1, ""), pending(2, "")], cache)
    assert ends == [] and all(one.prediction for one in told)
    answer([pending(3, ""), pending(4, "long")], cache)
    assert ends == [OUT_OF_MEMORY_EXIT]
    assert [one.id for one in told if one.prediction] == [1, 2, 3]
    again = SpecialistCache(tmp_path, Greedy, lambda s: None, memory=MemoryWatch(tmp_path, end=ends.append))
    answer([pending(5, "")], again)
    assert told[-1].prediction is None and "left out: there was not enough memory for s" in told[-1].error


async def test_a_batch_that_memory_does_not_suffice_for_costs_nobody_an_answer_or_a_wait(home: Path) -> None:
    pool = WorkerEngine(home, home / "models")
    await pool.start(timeout_s=120.0)
    try:
        await ask(pool, "large")
        assert pool.worker_pid is not None
        no_more_memory(pool.worker_pid, spare_mb=-1)
        many = [pool.predict("large", one, 250) for one in tiny_specialist.requests(32)]
        told = await asyncio.gather(*many, return_exceptions=True)
        # answered one by one, or told at once that the worker has ended; no time limit is waited for
        assert all(isinstance(one, Prediction) or type(one) in (UpstreamError, EngineFailure) for one in told)
        await asked_until_there(pool, "small")
    finally:
        await pool.stop()
    assert "can't allocate memory" in (home / "engine.log").read_text()


async def test_a_worker_that_the_kernel_kills_is_said_to_be(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = WorkerEngine(home, home / "models")
    await pool.start(timeout_s=120.0)
    try:
        for n in (1, 2):
            await asked_until_there(pool, "small")
            assert pool.worker_pid is not None
            os.kill(pool.worker_pid, signal.SIGKILL)
            async with asyncio.timeout(60):
                while read_troubles(home).n_ends < n:
                    await asyncio.sleep(0.02)
    finally:
        await pool.stop()
    (said,) = read_troubles(home).sentences(read_troubles(home).ended_s + 130)
    assert "ended 2 times, the last time 2 minutes ago: it was killed (SIGKILL)" in said
    again = WorkerEngine(home, home / "models")
    await again.start(timeout_s=120.0)
    await again.stop()
    assert read_troubles(home).sentences(0.0) == [], "a gateway that is started again knows of none"


def caused(cause: BaseException) -> BaseException:
    try:
        raise ValueError("holds no adapter") from cause
    except ValueError as error:
        return error


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (
            RuntimeError(
                "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes"
            ),
            True,
        ),
        (RuntimeError("CUDA out of memory."), True),
        (OSError(12, "Cannot allocate memory"), True),
        (caused(RuntimeError("std::bad_alloc")), True),
        (RuntimeError("shapes differ"), False),
        (ValueError("out of memory"), False),
        (caused(KeyError("memory")), False),
    ],
)
def test_errors_for_want_of_memory_are_known(error: BaseException, expected: bool) -> None:
    assert is_out_of_memory(error) is expected


def test_another_version_and_a_later_time_are_tried(tmp_path: Path) -> None:
    (tmp_path / "s").mkdir()
    card = tmp_path / "s" / "specialist.json"
    card.write_text("{}")
    ends: list[int] = []
    MemoryWatch(tmp_path, clock=lambda: 1000.0, end=ends.append).give_up("s", ValueError("no"))
    assert ends == [] and read_troubles(tmp_path).n_ends == 0
    MemoryWatch(tmp_path, clock=lambda: 1000.0, end=ends.append).give_up("s", MemoryError())
    assert ends == [OUT_OF_MEMORY_EXIT]

    def why(at_s: float) -> str:
        return MemoryWatch(tmp_path, clock=lambda: at_s).why_left_out("s")

    assert "not enough memory" in why(1000.0 + LEFT_OUT_S - 1) and why(1000.0 + LEFT_OUT_S) == ""
    assert note_end(tmp_path, OUT_OF_MEMORY_EXIT, 990.0, 1001.0).n_ends == 1, "it said so itself"
    assert note_end(tmp_path, 3, 1005.0, 1010.0).why.startswith("it ended with exit code 3")
    assert "not enough memory" in why(1011.0), "an end does not bring it back"
    card.write_text('{"new": 1}')
    assert why(1011.0) == ""


def test_a_thread_that_cannot_go_on_ends_the_worker(tmp_path: Path) -> None:
    ends: list[int] = []

    def threads(error: BaseException) -> None:
        def respond(*_: object) -> None:
            raise error

        queue, failed = Batcher(), MemoryWatch(tmp_path, end=ends.append).thread_failed
        queue.put(Pending(PredictRequest(id=1, specialist="s", request=Request(messages=[])), 1e12, print))
        (thread,) = AnsweringThreads(queue, None, None, respond, failed=failed).threads()  # type: ignore[arg-type]
        thread.start()
        thread.join(10)

    threads(MemoryError())
    threads(KeyError("x"))
    assert ends == [OUT_OF_MEMORY_EXIT, BROKEN_EXIT]
