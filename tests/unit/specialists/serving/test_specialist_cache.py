"""Loading of specialists when they are asked for, and which one goes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import pytest

from deputize.core.errors import BadInput, Tampered
from deputize.core.records import Prediction, Request
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


def test_paths_cannot_lead_out_of_the_home(tmp_path: Path) -> None:
    home_with(tmp_path, "outside")
    (tmp_path / "home").mkdir()
    with pytest.raises(BadInput, match="out of the home"):
        SpecialistCache(tmp_path / "home", Echo, lambda s: None).get("../outside")


def test_the_longest_unused_specialist_goes_first(tmp_path: Path) -> None:
    gone: list[str] = []
    cache = SpecialistCache(
        home_with(tmp_path, "a", "b", "c"),
        Echo,
        lambda s: gone.append(s.folder.name),  # type: ignore[attr-defined]
        most=2,
    )
    first = cache.get("a")
    cache.get("b")
    assert cache.get("a") is first
    cache.get("c")
    assert gone == ["b"] and len(cache) == 2


def test_a_replaced_folder_is_loaded_again(tmp_path: Path) -> None:
    import os

    cache = SpecialistCache(home_with(tmp_path, "a"), Echo, lambda s: None)
    first = cache.get("a")
    os.utime(tmp_path / "a" / "specialist.json", ns=(1, 1))
    assert cache.get("a") is not first


def test_a_card_that_was_changed_in_place_is_loaded_again_whatever_its_times_say(tmp_path: Path) -> None:
    """Else a forged card, put back before anybody looks, would go on answering."""
    import os

    card = home_with(tmp_path, "a") / "a" / "specialist.json"
    card.write_text('{"a":1}')
    cache, times = SpecialistCache(tmp_path, Echo, lambda s: None), card.stat()
    first = cache.get("a")
    with card.open("r+") as file:
        file.write('{"b":2}')
    os.utime(card, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert cache.get("a") is not first


def test_specialists_beyond_the_memory_go_and_the_last_one_stays_whatever_it_takes(tmp_path: Path) -> None:
    for name, size in {"a": 600, "b": 300, "c": 300, "big": 5000}.items():
        (home_with(tmp_path, name) / name / "weights").write_bytes(b"w" * size)
    cache = SpecialistCache(tmp_path, Echo, lambda s: None, most_bytes=1000)
    cache.get("a")
    cache.get("b")
    assert len(cache) == 2 and not cache.has_room_for("c")
    cache.get("c")
    assert cache.has("b") and not cache.has("a") and (cache.n_loads, cache.n_evictions) == (3, 1)
    cache.get("big")
    assert len(cache) == 1 and cache.has("big")


def test_a_loaded_specialist_says_of_which_card_it_is(tmp_path: Path) -> None:
    cache = SpecialistCache(home_with(tmp_path, "a"), Echo, lambda s: None)
    assert cache.loaded("a").card_sha256 == hashlib.sha256(b"{}").hexdigest()


def test_a_card_that_changes_while_its_specialist_is_loaded_is_refused(tmp_path: Path) -> None:
    gone: list[object] = []

    def load(folder: Path) -> Echo:
        (folder / "specialist.json").write_text("other")
        return Echo(folder)

    cache = SpecialistCache(home_with(tmp_path, "a"), load, gone.append)
    with pytest.raises(Tampered, match="changed while"):
        cache.get("a")
    assert len(gone) == 1 and len(cache) == 0
