"""How many threads a CPU works with, and what a prompt loses when it is too long."""

from __future__ import annotations

from pathlib import Path

from deputize.specialists.model_cache import MODELS
from deputize.specialists.thread_count import Threads

Tiny = tuple[Path, str]


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_faster_number_of_threads_is_kept_and_the_other_tried_again() -> None:
    threads = Threads(4, again_every=10)
    assert threads.pick() == 4
    threads.told(4, 10.0)
    assert threads.pick() == 1
    threads.told(1, 50.0)
    picks = [threads.pick() for _ in range(20)]
    assert picks.count(1) == 18 and picks.count(4) == 2
    for _ in range(6):
        threads.told(4, 100.0)
    assert threads.pick() == 4, "the neighbours have gone"


def test_one_core_leaves_no_choice() -> None:
    threads = Threads(1)
    with threads.work(1):
        pass
    assert {threads.pick() for _ in range(50)} == {1}


def test_a_long_prompt_loses_its_middle_and_keeps_its_frame(tiny: Tiny) -> None:
    base = MODELS.get(tiny[0] / tiny[1])
    (short,) = base.prompt_ids(["hello"], 64)
    (long,) = base.prompt_ids(["first " + "x " * 500 + "last"], 64)
    after = base.ids(base.frame.after)
    assert len(long) == 64 and long[-len(after) :] == short[-len(after) :] == after
    text = base.tokenizer.decode(long)
    assert "first" in text and "last" in text
    assert base.prompt_ids([], 64) == []
