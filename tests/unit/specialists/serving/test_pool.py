"""The pool against a real worker process that serves a tiny model."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from tests import tiny_tasks

from deputize.core.errors import DeputizeError, UpstreamError, UpstreamTimeout
from deputize.core.records import Request
from deputize.specialists.predictor import load
from deputize.specialists.serving import pool as serving_pool
from deputize.specialists.serving.base import EngineFailure, StillLoading
from deputize.specialists.serving.pool import WorkerEngine, worker_environment

Tiny = tuple[Path, str]


@pytest.fixture(scope="module")
def home(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("engine-home")
    tiny_tasks.train(folder, *tiny, ("label", "values"), n=30)
    return folder


def request(kind: str, index: int) -> Request:
    return tiny_tasks.example(kind, index, "test").request


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


async def gone(pid: int, within_s: float = 10.0) -> bool:
    for _ in range(int(within_s / 0.05)):
        if not alive(pid):
            return True
        await asyncio.sleep(0.05)
    return False


async def test_answers_come_back_to_those_who_asked_through_either_pool_of_a_home(
    home: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving_pool, "PING_S", 0.05)
    pool, second = WorkerEngine(home, tiny[0]), WorkerEngine(home, tiny[0])
    await pool.start(timeout_s=120.0)
    try:
        await second.start(timeout_s=120.0)
        assert pool.worker_pid is not None and second.worker_pid is None, "they share one worker"
        told = await second.predict("specialists/label-lora", request("label", 3), 60)
        assert told.answer in ("yes", "no")
        jobs = [("label" if i % 2 else "values", i) for i in range(12)]
        answers = await asyncio.gather(
            *(pool.predict(f"specialists/{kind}-lora", request(kind, i), 60) for kind, i in jobs)
        )
        for kind in ("label", "values"):
            here = load(home / "specialists" / f"{kind}-lora", tiny[0])
            for (other, i), told in zip(jobs, answers, strict=True):
                if other == kind:
                    (expected,) = here.predict([request(kind, i)])
                    assert told.answer == expected.answer
                    assert told.confidence == pytest.approx(expected.confidence, abs=0.02)
        async with asyncio.timeout(10):
            while (told_of := pool.signals) is None or told_of.n_taken < 13:
                await asyncio.sleep(0.02)
        assert (told_of.n_loaded, told_of.loads, told_of.evictions, told_of.n_waiting) == (2, 2, 0, 0)
        assert told_of.busy_s > 0 and told_of.wait_s > 0 and second.signals is None
        with pytest.raises(EngineFailure, match="no specialist"):
            await pool.predict("specialists/missing", request("label", 1), 30)
        with pytest.raises(UpstreamTimeout):
            await pool.predict("specialists/label-lora", request("label", 1), 1e-6)
    finally:
        pid = pool.worker_pid
        await second.stop()
        await pool.stop()
    assert pid is not None and await gone(pid), "no orphan is left"
    with pytest.raises(UpstreamError):
        await pool.predict("specialists/label-lora", request("label", 1), 1)


async def test_a_start_waits_for_the_specialists_of_open_routes_and_no_call_waits_for_a_later_one(
    home: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving_pool, "LOADED_WITHIN_S", 120.0)

    def open_routes(*kinds: str) -> None:
        routes = [{"specialist": f"specialists/{kind}-lora", "state": "live"} for kind in kinds]
        (home / "routes.json").write_text(json.dumps({"file": {"routes": routes}}))

    async def ask(kind: str) -> object:
        return (await pool.predict(f"specialists/{kind}-lora", request(kind, 3), 60)).answer

    open_routes("label")
    pool = WorkerEngine(home, tiny[0])
    try:
        await pool.start(timeout_s=120.0)
        assert await ask("label") in ("yes", "no")
        open_routes("label", "values")
        with pytest.raises(StillLoading):
            await ask("values")
        for _ in range(400):
            await asyncio.sleep(0.05)
            with contextlib.suppress(StillLoading):
                await ask("values")
                break
        else:
            pytest.fail("it is never loaded")
    finally:
        await pool.stop()
        (home / "routes.json").unlink()


async def test_a_killed_worker_fails_what_waits_and_comes_back(home: Path, tiny: Tiny) -> None:
    pool = WorkerEngine(home, tiny[0])
    await pool.start(timeout_s=120.0)
    try:
        first = pool.worker_pid
        assert first is not None
        waiting = asyncio.create_task(pool.predict("specialists/label-lora", request("label", 1), 60))
        await asyncio.sleep(0)
        os.kill(first, signal.SIGKILL)
        with pytest.raises(DeputizeError):
            await waiting
        for _ in range(400):
            await asyncio.sleep(0.05)
            try:
                told = await pool.predict("specialists/label-lora", request("label", 1), 60)
                break
            except UpstreamError:
                continue
        assert told.answer in ("yes", "no")
        assert pool.worker_pid not in (None, first)
    finally:
        await pool.stop()


async def test_a_worker_that_hangs_is_ended_and_another_one_answers(
    home: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving_pool, "PING_S", 0.2)
    monkeypatch.setattr(serving_pool, "HUNG_S", 2.0)
    pool = WorkerEngine(home, tiny[0])
    await pool.start(timeout_s=120.0)
    try:
        first = pool.worker_pid
        assert first is not None
        os.kill(first, signal.SIGSTOP)
        with pytest.raises(UpstreamTimeout):
            await pool.predict("specialists/label-lora", request("label", 1), 0.5)
        assert await gone(first)
        monkeypatch.setattr(serving_pool, "HUNG_S", 60.0)
        for _ in range(400):
            await asyncio.sleep(0.05)
            try:
                told = await pool.predict("specialists/label-lora", request("label", 1), 60)
                break
            except UpstreamError:
                continue
        assert told.answer in ("yes", "no") and pool.worker_pid not in (None, first)
    finally:
        await pool.stop()


async def test_a_worker_that_dies_at_once_is_started_again_with_growing_pauses(
    home: Path, tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving_pool, "_RETRY_S", (0.05, 30.0))
    pool = WorkerEngine(home, tiny[0])
    await pool.start(timeout_s=120.0)
    try:
        for _ in range(2):
            for _ in range(400):
                if pool.worker_pid is not None and pool._connected.is_set():
                    break
                await asyncio.sleep(0.05)
            pid = pool.worker_pid
            assert pid is not None
            os.kill(pid, signal.SIGKILL)
            assert await gone(pid)
        await asyncio.sleep(1.0)
        assert pool.worker_pid is None, "the second pause is a long one"
        with pytest.raises(UpstreamError):
            await pool.predict("specialists/label-lora", request("label", 1), 1)
    finally:
        await pool.stop()


async def test_the_worker_does_not_outlive_a_killed_parent(home: Path, tiny: Tiny) -> None:
    program = textwrap.dedent(
        f"""
        import asyncio, sys
        from pathlib import Path
        from deputize.specialists.serving.pool import WorkerEngine
        async def main():
            pool = WorkerEngine(Path({str(home)!r}), Path({str(tiny[0])!r}))
            await pool.start(timeout_s=120.0)
            assert "torch" not in sys.modules
            sys.stdout.write(f"{{pool.worker_pid}}\\n")
            sys.stdout.flush()
            await asyncio.sleep(60)
        asyncio.run(main())
        """
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(await asyncio.to_thread(parent.stdout.readline))
    assert alive(pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert await gone(pid)


def test_a_worker_inherits_no_key() -> None:
    given = {
        "PATH": "/bin",
        "LC_ALL": "C.UTF-8",
        "OMP_NUM_THREADS": "2",
        "CUDA_VISIBLE_DEVICES": "0",
        "DEPUTIZE_KEK": "k",
        "MYKEK": "k",
        "OPENAI_API_KEY": "k",
        "VAULT_TOKEN": "k",
        "AWS_SECRET_ACCESS_KEY": "k",
        "PYTHON_KEYRING_PASSWORD": "k",
        "DATABASE_URL": "postgres://user:k@host",
        "UP": "sk-very-secret",
    }
    kept = worker_environment(given)
    assert "k" not in kept.values() and not any(
        "secret" in value or ":k@" in value for value in kept.values()
    )
    assert kept.keys() == {"PATH", "LC_ALL", "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES", "OMP_WAIT_POLICY"}
