"""Loading of specialists when they are asked for, and which one goes."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from deputize.core.errors import BadInput, Tampered
from deputize.core.records import Prediction, Request
from deputize.specialists.base import Predictor
from deputize.specialists.serving.base import StillLoading
from deputize.specialists.serving.specialist_cache import SpecialistCache


class Echo:
    """A specialist that answers with the request's site."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def predict(self, requests: Sequence[Request]) -> list[Prediction]:
        return [Prediction(answer=r.site, confidence=1.0) for r in requests]


def home_with(tmp_path: Path, *names: str) -> Path:
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "specialist.json").write_text("{}")
    return tmp_path


def got(cache: SpecialistCache, name: str) -> Predictor:
    """A specialist, asked by nobody any more."""
    with cache.using(name) as loaded:
        return loaded.predictor


def test_paths_cannot_lead_out_of_the_home(tmp_path: Path) -> None:
    home_with(tmp_path, "outside")
    (tmp_path / "home").mkdir()
    with pytest.raises(BadInput, match="out of the home"):
        got(SpecialistCache(tmp_path / "home", Echo, lambda s: None), "../outside")


def test_the_longest_unused_specialist_goes_first(tmp_path: Path) -> None:
    gone: list[str] = []
    cache = SpecialistCache(
        home_with(tmp_path, "a", "b", "c"),
        Echo,
        lambda s: gone.append(s.folder.name),  # type: ignore[attr-defined]
        most=2,
    )
    first = got(cache, "a")
    got(cache, "b")
    assert got(cache, "a") is first
    got(cache, "c")
    assert gone == ["b"] and len(cache) == 2


def test_a_replaced_folder_is_loaded_again(tmp_path: Path) -> None:
    cache = SpecialistCache(home_with(tmp_path, "a"), Echo, lambda s: None)
    first = got(cache, "a")
    os.utime(tmp_path / "a" / "specialist.json", ns=(1, 1))
    assert got(cache, "a") is not first


def test_a_card_that_was_changed_in_place_is_loaded_again_whatever_its_times_say(tmp_path: Path) -> None:
    """Else a forged card, put back before anybody looks, would go on answering."""
    card = home_with(tmp_path, "a") / "a" / "specialist.json"
    card.write_text('{"a":1}')
    cache, times = SpecialistCache(tmp_path, Echo, lambda s: None), card.stat()
    first = got(cache, "a")
    with card.open("r+") as file:
        file.write('{"b":2}')
    os.utime(card, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert got(cache, "a") is not first


def test_specialists_beyond_the_memory_go_and_the_last_one_stays_whatever_it_takes(tmp_path: Path) -> None:
    for name, size in {"a": 600, "b": 300, "c": 300, "big": 5000}.items():
        (home_with(tmp_path, name) / name / "weights").write_bytes(b"w" * size)
    cache = SpecialistCache(tmp_path, Echo, lambda s: None, most_bytes=1000)
    got(cache, "a")
    got(cache, "b")
    assert len(cache) == 2 and not cache.has_room_for("c")
    got(cache, "c")
    assert cache.has("b") and not cache.has("a") and (cache.n_loads, cache.n_evictions) == (3, 1)
    got(cache, "big")
    assert len(cache) == 1 and cache.has("big")


def test_a_loaded_specialist_says_of_which_card_it_is(tmp_path: Path) -> None:
    cache = SpecialistCache(home_with(tmp_path, "a"), Echo, lambda s: None)
    with cache.using("a") as loaded:
        assert loaded.card_sha256 == hashlib.sha256(b"{}").hexdigest()


def test_a_card_that_changes_while_its_specialist_is_loaded_is_refused(tmp_path: Path) -> None:
    gone: list[object] = []

    def load(folder: Path) -> Echo:
        (folder / "specialist.json").write_text("other")
        return Echo(folder)

    cache = SpecialistCache(home_with(tmp_path, "a"), load, gone.append)
    with pytest.raises(Tampered, match="changed while"):
        got(cache, "a")
    assert len(gone) == 1 and len(cache) == 0


def test_a_specialist_that_is_being_asked_is_not_unloaded_for_another_one(tmp_path: Path) -> None:
    """Its adapter would be taken away while its answer is written."""
    gone: list[str] = []
    cache = SpecialistCache(
        home_with(tmp_path, "a", "b", "c"),
        Echo,
        lambda s: gone.append(s.folder.name),  # type: ignore[attr-defined]
        most=1,
    )
    with cache.using("a"):
        with cache.using("a"), cache.using("b"):
            assert len(cache) == 2 and not gone, "beyond the limit as long as both are asked"
        assert gone == [] and cache.has("a") and cache.has("b"), (
            "the first one is still asked, the last one stays"
        )
        got(cache, "c")
        assert gone == ["b"]
    assert gone == ["b", "a"] and cache.has("c") and cache.n_evictions == 2


def test_a_replaced_folder_waits_for_who_asks_the_one_before(tmp_path: Path) -> None:
    gone: list[object] = []
    cache = SpecialistCache(home_with(tmp_path, "a"), Echo, gone.append)
    with cache.using("a") as before:
        os.utime(tmp_path / "a" / "specialist.json", ns=(1, 1))
        with pytest.raises(StillLoading, match="was replaced"):
            got(cache, "a")
        assert not gone
    assert got(cache, "a") is not before.predictor and gone == [before.predictor]


def test_one_that_is_loaded_is_asked_while_another_is_being_loaded(tmp_path: Path) -> None:
    may_go_on, began = threading.Event(), threading.Event()

    def load(folder: Path) -> Echo:
        if folder.name == "slow":
            began.set()
            assert may_go_on.wait(10)
        return Echo(folder)

    cache = SpecialistCache(home_with(tmp_path, "a", "slow"), load, lambda s: None)
    got(cache, "a")
    thread = threading.Thread(target=got, args=(cache, "slow"))
    thread.start()
    assert began.wait(10)
    asked = threading.Thread(target=got, args=(cache, "a"))
    asked.start()
    asked.join(5)
    is_done = not asked.is_alive()
    may_go_on.set()
    thread.join()
    asked.join()
    assert is_done


def test_many_threads_never_ask_what_has_been_unloaded(tmp_path: Path) -> None:
    class Counts(Echo):
        gone, faults = False, 0

        def ask(self) -> None:
            time.sleep(0.0005)
            Counts.faults += self.gone

    def let_go(specialist: Predictor) -> None:
        assert isinstance(specialist, Counts)
        specialist.gone = True

    cache = SpecialistCache(home_with(tmp_path, *"abcdef"), Counts, let_go, most=2)

    def work(seed: int) -> None:
        for n in range(200):
            with cache.using("abcdef"[(n * seed) % 6]) as loaded:
                assert isinstance(loaded.predictor, Counts)
                loaded.predictor.ask()

    threads = [threading.Thread(target=work, args=(seed,)) for seed in (1, 5, 7, 11)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counts.faults == 0 and cache.n_evictions > 100 and len(cache) == 2
