"""Loading specialists: on demand, again where they were replaced, and ahead of the first call of an open route."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from deputize.core.records import Prediction, Request
from deputize.specialists.serving.batcher import Pending
from deputize.specialists.serving.frames import PredictReply, PredictRequest
from deputize.specialists.serving.loaded_specialists import (
    LoadsAhead,
    RoutedSpecialists,
    routed,
)
from deputize.specialists.serving.specialist_cache import SpecialistCache
from deputize.specialists.serving.worker import RequestQueues, run_models


class Named:
    """A specialist that answers with its folder's name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def predict(self, requests: Sequence[Request]) -> list[Prediction]:
        return [Prediction(answer=self.folder.name, confidence=1.0) for _ in requests]


def home_with(tmp_path: Path, *names: str) -> Path:
    for name in names:
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "specialist.json").write_text("{}")
    return tmp_path


def open_routes(home: Path, *names: str, **states: str) -> None:
    routes = [{"specialist": name, "state": "live"} for name in names]
    routes += [{"specialist": name, "state": state} for name, state in states.items()]
    (home / "routes.json").write_text(json.dumps({"file": {"routes": routes}}))


def test_open_routes_are_loaded_ahead_and_the_thread_ends(tmp_path: Path) -> None:
    home = home_with(tmp_path, "a", "b", "new")
    (home / "routes.json").write_text(
        '{"sha256":"x","file":{"routes":[{"specialist":"a","state":"live"},{"specialist":"b","state":"closed"},'
        '{"specialist":"gone","state":"canary"}],"challengers":[{"specialist":"new","state":"shadow"},'
        '{"specialist":"b","state":"rolled_back"}]}}'
    )
    assert routed(home) == ["a", "gone", "new"]
    loader, queues = SlowLoader(), RequestQueues(home)
    loader.may.set()
    cache = SpecialistCache(home, loader, lambda s: None)
    ahead = LoadsAhead(cache, RoutedSpecialists(home), lambda name: True)
    thread = threading.Thread(target=run_models, args=(queues.slow, cache, ahead))
    thread.start()
    while len(loader.loaded) < 2:
        thread.join(0.01)
    queues.close()
    thread.join(5)
    assert not thread.is_alive() and loader.loaded == ["a", "new"]


@pytest.mark.parametrize("text", ["", "[]", "{", '{"file": 3}', '{"file": {"routes": [1]}}'])
def test_an_unreadable_route_file_preloads_nothing(tmp_path: Path, text: str) -> None:
    (tmp_path / "routes.json").write_text(text)
    assert routed(tmp_path) == []


class SlowLoader:
    """Loads specialists once it may."""

    def __init__(self) -> None:
        self.loaded: list[str] = []
        self.began, self.may = threading.Event(), threading.Event()

    def __call__(self, folder: Path) -> Named:
        self.began.set()
        assert self.may.wait(10)
        self.loaded.append(folder.name)
        if folder.name == "broken":
            raise RuntimeError("boom")
        return Named(folder)


def pending(number: int, specialist: str, told: Callable[[PredictReply], None]) -> Pending:
    return Pending(PredictRequest(id=number, specialist=specialist, request=Request(messages=[])), 1e9, told)


def test_calls_of_a_route_are_refused_until_its_specialist_is_loaded_and_so_never_wait(
    tmp_path: Path,
) -> None:
    home = home_with(tmp_path, "first", "later", "unrouted")
    open_routes(home, "first")
    loader, queues, told = SlowLoader(), RequestQueues(home), list[PredictReply]()
    cache = SpecialistCache(home, loader, lambda s: None)
    ahead = queues.ahead[id(queues.slow)] = LoadsAhead(cache, RoutedSpecialists(home), lambda name: True)
    answered = threading.Semaphore(0)

    def tell(reply: PredictReply) -> None:
        told.append(reply)
        answered.release()

    def ask(number: int, name: str) -> PredictReply:
        queues.put(pending(number, name, tell))
        assert answered.acquire(timeout=10)
        return told[-1]

    thread = threading.Thread(target=run_models, args=(queues.slow, cache, ahead))
    thread.start()
    try:
        assert loader.began.wait(10) and queues.is_loading
        assert ask(1, "first").is_loading
        loader.may.set()
        while queues.is_loading:
            thread.join(0.01)
        found = ask(2, "first").prediction
        assert found is not None and found.answer == "first"
        # a route that opens later: refused from its first call on, and so are those whose thread is busy with it
        loader.began.clear()
        loader.may.clear()
        open_routes(home, "first", "later")
        assert ask(3, "later").is_loading and ask(4, "first").is_loading
        assert loader.began.wait(10)
        queues.put(pending(5, "unrouted", tell))  # nobody else would answer it, so it waits
        loader.may.set()
        assert answered.acquire(timeout=10) and told[-1].id == 5 and told[-1].prediction is not None
        found = ask(6, "later").prediction
        assert found is not None and found.answer == "later" and not queues.is_loading
    finally:
        loader.may.set()
        queues.close()
        thread.join(10)
    assert not thread.is_alive() and loader.loaded == ["first", "later", "unrouted"]


def test_a_specialist_that_cannot_be_loaded_keeps_nobody_waiting_and_is_tried_again_once_it_is_another(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    home = home_with(tmp_path, "broken", "cold", "whole")
    open_routes(home, "broken", "gone", "cold", "whole")
    loader, warmed = SlowLoader(), list[str]()
    loader.may.set()

    class WarmingUp(Named):
        def warm_up(self) -> None:
            warmed.append(self.folder.name)
            if self.folder.name == "cold":
                raise RuntimeError("still cold")

    cache = SpecialistCache(home, lambda folder: WarmingUp(loader(folder).folder), lambda s: None)
    ahead = LoadsAhead(cache, RoutedSpecialists(home), lambda name: True)
    while name := ahead.next():
        ahead.load(name)
    assert loader.loaded == ["broken", "cold", "whole"] and warmed == ["cold", "whole"]
    assert cache.is_known("cold") and cache.is_known("whole")
    assert "broken cannot be loaded" in caplog.text and "no specialist in 'gone'" in caplog.text
    assert not ahead.refuses("broken"), "whoever asks for it is told why"
    home_with(tmp_path, "gone")
    assert ahead.next() == "gone", "its folder has come"


def test_what_there_is_no_room_for_is_not_loaded_ahead_and_its_calls_are_taken(tmp_path: Path) -> None:
    home_with(tmp_path, "a", "b")
    (tmp_path / "routes.json").write_text(
        '{"file":{"routes":[{"specialist":"a","state":"live"},{"specialist":"b","state":"live"}]}}'
    )
    cache = SpecialistCache(tmp_path, Named, lambda s: None, most=1)
    ahead = LoadsAhead(cache, RoutedSpecialists(tmp_path), lambda name: True)
    ahead.load(ahead.next())
    assert len(cache) == 1 and ahead.next() == "" and not ahead.refuses("b")
    with cache.using("b"):
        assert len(cache) == 1, "the other one is not being asked"
    assert cache.n_evictions == 1 and ahead.next() == "", "the one that had to go is not loaded at once again"
