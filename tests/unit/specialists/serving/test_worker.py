"""Batching, loading and answering in the worker, without a model."""

from __future__ import annotations

import asyncio
import gc
import math
import time
import weakref
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar

import pytest
from tests import tiny_specialist

from deputize.core.records import Prediction, Request
from deputize.specialists.predictor import SpecialistPredictor, load, unload
from deputize.specialists.serving.batcher import MAX_BATCH, Batcher, Pending
from deputize.specialists.serving.frames import PredictReply, PredictRequest, pack
from deputize.specialists.serving.specialist_cache import SpecialistCache
from deputize.specialists.serving.worker import RequestQueues, answer, answer_early, answer_jointly, serve


class Echo:
    """A specialist that answers with the request's site; fails on the site "poison"."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.sizes = folder, []

    sizes: list[int]

    def predict(self, requests: Sequence[Request]) -> list[Prediction]:
        self.sizes.append(len(requests))
        if any(r.site == "poison" for r in requests):
            raise RuntimeError("boom")
        return [Prediction(answer=r.site, confidence=1.0) for r in requests]


def pending(
    number: int, specialist: str, told: list[PredictReply], site: str = "x", due: float = 1e9
) -> Pending:
    return Pending(
        PredictRequest(id=number, specialist=specialist, request=Request(messages=[], site=site)),
        due,
        told.append,
    )


def home_with(tmp_path: Path, *names: str) -> Path:
    for name in names:
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "specialist.json").write_text("{}")
    return tmp_path


def test_every_request_is_answered_and_a_bad_one_costs_no_other(tmp_path: Path) -> None:
    cache = SpecialistCache(home_with(tmp_path, "s"), Echo, lambda s: None)
    told: list[PredictReply] = []
    answer([pending(i, "s", told, site="poison" if i == 1 else f"n{i}") for i in range(3)], cache)
    by_id = {t.id: t for t in told}
    assert by_id[0].prediction is not None and by_id[0].prediction.answer == "n0"
    assert by_id[2].prediction is not None
    assert by_id[1].prediction is None and "RuntimeError" in by_id[1].error and "boom" not in by_id[1].error


class InTurn(Echo):
    """Answers one after the other, as a language model in 16 bits."""

    one_by_one = True
    asked: ClassVar[list[tuple[int, int]]] = []
    """For each time it was asked: how many requests, and how many answers had left."""
    told: ClassVar[list[PredictReply]] = []

    def predict(self, requests: Sequence[Request]) -> list[Prediction]:
        self.asked.append((len(requests), len(self.told)))
        return super().predict(requests)


def test_an_answer_does_not_wait_for_those_behind_it_and_none_is_made_for_nobody(tmp_path: Path) -> None:
    cache = SpecialistCache(home_with(tmp_path, "s"), InTurn, lambda s: None)
    batch = [pending(i, "s", InTurn.told, site=f"n{i}", due=1.0 if i == 1 else math.inf) for i in range(3)]
    answer(batch, cache)
    assert InTurn.asked == [(1, 0), (1, 1)] and [one.id for one in InTurn.told] == [0, 2]


def test_a_specialist_that_is_not_there_is_an_answer_too(tmp_path: Path) -> None:
    told: list[PredictReply] = []
    answer([pending(1, "missing", told)], SpecialistCache(tmp_path, Echo, lambda s: None))
    assert "no specialist" in told[0].error


async def test_nothing_is_answered_for_a_connection_that_is_gone(tmp_path: Path) -> None:
    queues, ended, told = RequestQueues(home_with(tmp_path, "s")), asyncio.Event(), list[PredictReply]()
    serving = asyncio.create_task(serve(tmp_path / "w.sock", queues, ended))
    while not (tmp_path / "w.sock").exists():
        await asyncio.sleep(0.01)
    _, writer = await asyncio.open_unix_connection(str(tmp_path / "w.sock"))
    writer.write(pack(pending(1, "s", told).ask))
    async with asyncio.timeout(5):
        while queues.slow.next_name() != "s":
            await asyncio.sleep(0.01)
        writer.close()
        while queues.slow.next_name() == "s":
            await asyncio.sleep(0.01)
    ended.set()
    await serving


class Halves(Echo):
    """Answers even ones at once."""

    def predict_early(self, requests: Sequence[Request]) -> list[Prediction | None]:
        if any(r.site == "poison" for r in requests):
            raise RuntimeError("boom")
        return [
            Prediction(answer="early", confidence=0.9) if int(r.site) % 2 == 0 else None for r in requests
        ]


def test_the_first_member_of_a_cascade_answers_from_the_fast_queue_and_leaves_the_rest(
    tmp_path: Path,
) -> None:
    home = home_with(tmp_path, "both", "quick", "slow")
    (home / "both" / "specialist.json").write_text('{"kind": "cascade"}')
    (home / "quick" / "specialist.json").write_text('{"kind": "linear", "is_fast": true}')
    queues, told = RequestQueues(home), list[PredictReply]()
    queues.fast.window_s = queues.slow.window_s = 0
    cache = SpecialistCache(home, Halves, lambda s: None)
    for number in range(4):
        queues.put(pending(number, "both", told, site=str(number)))
    queues.put(pending(4, "slow", told))
    assert queues.of("both") is queues.slow and queues.of("quick") is queues.fast
    queues.answer_fast(queues.fast.take(0), cache)
    assert {t.id: t.prediction.answer for t in told if t.prediction} == {0: "early", 2: "early"}
    assert queues.fast.take(0) == []
    assert [p.ask.id for p in queues.slow.take(0)] == [4]
    rest = queues.slow.take(0)
    assert [p.ask.id for p in rest] == [1, 3]
    answer(rest, cache)
    assert sorted(t.id for t in told) == [0, 1, 2, 3]
    queues.put(pending(5, "quick", told, site="5"))
    queues.answer_fast(queues.fast.take(0), cache)
    assert told[-1].prediction is not None and told[-1].prediction.answer == "5", "it is answered whole"


def test_where_the_first_member_fails_the_whole_cascade_is_asked(tmp_path: Path) -> None:
    told, left = list[PredictReply](), list[Pending]()
    cache = SpecialistCache(home_with(tmp_path, "s"), Halves, lambda s: None)
    answer_early([pending(1, "s", told, site="poison"), pending(2, "s", told, site="2")], cache, left.append)
    answer_early([pending(3, "missing", told)], cache, left.append)
    plain = SpecialistCache(tmp_path, Echo, lambda s: None)
    answer_early([pending(4, "s", told)], plain, left.append)
    assert [p.ask.id for p in left] == [1, 2, 3, 4] and all(p.is_open for p in left) and not told


def test_answers_of_two_specialists_are_written_together_and_latecomers_join(
    tiny: tuple[Path, str], tmp_path: Path
) -> None:
    for task in ("values", "action"):
        tiny_specialist.make(tiny, tmp_path / task, "decoder", task)
    cache = SpecialistCache(tmp_path, lambda folder: load(folder, tiny[0]), unload)
    asked = [
        (task, request) for task in ("values", "action") for request in tiny_specialist.requests(4, task)
    ]
    alone = list[Prediction]()
    for task, request in asked:
        with cache.using(task) as loaded:
            alone += loaded.predictor.predict([request])
    told, queue = list[PredictReply](), Batcher(window_s=0)
    waiting = [
        Pending(PredictRequest(id=n, specialist=task, request=request), math.inf, told.append)
        for n, (task, request) in enumerate(asked)
    ]
    late = Pending(PredictRequest(id=99, specialist="values", request=asked[0][1]), 0.0, told.append)
    for one in [*waiting[2:], late]:
        queue.put(one)
    answer_jointly(waiting[:2], cache, queue)
    assert queue.next_name() == "" and sorted(t.id for t in told) == list(range(8)), (
        "nobody waits for the last"
    )
    for reply in told:
        assert reply.prediction is not None and reply.prediction.answer == alone[reply.id].answer
        assert reply.prediction.confidence == pytest.approx(alone[reply.id].confidence, abs=1e-4)


class Endless(Batcher):
    """A queue in which the next request stands as soon as one is taken, until so many were taken."""

    def __init__(self, requests: Sequence[Request], n: int, told: Callable[[PredictReply], None]) -> None:
        super().__init__(window_s=0)
        self.alive: list[weakref.ref[Pending]] = []
        self.most = 0
        self._requests, self._left, self._told = requests, n, told

    def another(self, due: float = math.inf) -> Pending:
        self._left -= 1
        made = Pending(
            PredictRequest(
                id=self._left, specialist="closed", request=self._requests[self._left % len(self._requests)]
            ),
            due,
            self._told,
        )
        self.alive = [*(ref for ref in self.alive if ref() is not None), weakref.ref(made)]
        self.most = max(self.most, len(self.alive))
        return made

    def next_name(self) -> str:
        return "closed" if self._left > 0 else ""

    def take_next(self, name: str, most: int) -> list[Pending]:
        # every fifth is waited for by nobody any more once it is being written
        return [
            self.another(math.inf if self._left % 5 else time.monotonic() + 1e-4)
            for _ in range(min(most, 3, max(0, self._left)))
        ]


def test_a_worker_under_endless_load_keeps_nothing_of_who_was_answered_or_left(
    tiny: tuple[Path, str], tmp_path: Path
) -> None:
    tiny_specialist.make(tiny, tmp_path / "closed", "decoder")
    cache = SpecialistCache(tmp_path, lambda folder: load(folder, tiny[0]), unload)
    told: set[int] = set()
    queue = Endless(tiny_specialist.requests(6), 300, lambda reply: told.add(reply.id))
    answer_jointly([queue.another()], cache, queue)
    gc.collect()
    assert len(told) >= 240, "all that somebody waited for"
    assert queue.most <= 2 * MAX_BATCH
    assert sum(ref() is not None for ref in queue.alive) <= 1


def test_a_specialist_that_has_to_be_loaded_first_does_not_stall_what_is_being_written(
    tiny: tuple[Path, str], tmp_path: Path
) -> None:
    for task in ("closed", "values"):
        tiny_specialist.make(tiny, tmp_path / task, "decoder", task)
    told, loaded_after = list[int](), list[int]()

    def slow_load(folder: Path) -> SpecialistPredictor:
        loaded_after.append(len(told))
        return load(folder, tiny[0])

    cache, queue = SpecialistCache(tmp_path, slow_load, unload), Batcher(window_s=0)
    requests = tiny_specialist.requests(4)
    waiting = [
        Pending(
            PredictRequest(id=n, specialist="closed", request=request),
            math.inf,
            lambda reply: told.append(reply.id),
        )
        for n, request in enumerate(requests)
    ]
    (other,) = tiny_specialist.requests(1, "values")
    queue.put(
        Pending(
            PredictRequest(id=9, specialist="values", request=other),
            math.inf,
            lambda reply: told.append(reply.id),
        )
    )
    answer_jointly(waiting, cache, queue)
    assert sorted(told) == [0, 1, 2, 3] and loaded_after == [0], "the other one has not been loaded yet"
    answer_jointly(queue.take(0.1), cache, queue)
    assert told[-1] == 9 and loaded_after == [0, 4]


def test_one_prompt_that_cannot_be_read_costs_no_other_its_place(
    tiny: tuple[Path, str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tiny_specialist.make(tiny, tmp_path / "values", "decoder", "values")
    cache = SpecialistCache(tmp_path, lambda folder: load(folder, tiny[0]), unload)
    requests = tiny_specialist.requests(3, "values")
    bad = Request(messages=[{"role": "user", "content": "half a pair \ud800"}], site="x")
    with cache.using("values") as loaded:
        alone = [found.answer for request in requests for found in loaded.predictor.predict([request])]
    told = list[PredictReply]()
    batch = [
        Pending(PredictRequest(id=n, specialist="values", request=request), math.inf, told.append)
        for n, request in enumerate([requests[0], bad, *requests[1:]])
    ]
    answer_jointly(batch, cache, Batcher(window_s=0))
    assert "failed together" not in caplog.text
    by_id = {reply.id: reply for reply in told}
    assert len(told) == 4 and by_id[1].prediction is None and "failed" in by_id[1].error
    assert [by_id[n].prediction.answer for n in (0, 2, 3)] == alone  # type: ignore[union-attr]
