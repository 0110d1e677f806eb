"""Examples as a stream: read each time, sampled for training by digests of their ids, without texts where they are
counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from deputize.core.artifacts import Curated
from deputize.core.records import Example, Request, Split
from deputize.pipeline.example_stream import ExampleStream, for_counting, for_training

SPLITS: tuple[Split, ...] = ("train", "validation", "calibration", "test")
MOST: dict[Split, int] = {"train": 5, "validation": 2}


def example(i: int) -> Example:
    return Example(
        call_id=f"c{i}",
        request=Request(messages=[{"role": "user", "content": f"text {i}"}]),
        response={"role": "assistant", "content": "yes"},
        audience="code",
        site="s",
        episode=f"e{i}",
        group=f"e{i}",
        split=SPLITS[i % 4],
    )


def of(examples: list[Example]) -> Curated:
    return Curated(examples=examples, sites=[], n_calls=0, n_episodes=0, n_code_calls=0)


@dataclass
class Disk:
    """Counts how often it is read."""

    n: int
    n_read: int = 0
    opened: list[int] = field(default_factory=list)

    def read(self) -> Iterator[Example]:
        self.n_read += 1
        return map(example, range(self.n))


def test_a_stream_is_read_each_time_and_knows_its_length() -> None:
    disk = Disk(3)
    stream = ExampleStream(disk.read, 3)
    assert len(stream) == 3 and disk.n_read == 0
    assert list(stream) == list(stream) == [example(i) for i in range(3)]
    assert disk.n_read == 2
    assert example(1) in stream and example(4) not in stream
    assert stream[-1] == example(2) and stream[:2] == [example(0), example(1)]


def test_a_small_log_is_trained_on_as_it_is() -> None:
    whole = of([example(i) for i in range(12)])
    task_of = {f"c{i}": "t" for i in range(12)}
    held = list(for_training(whole, task_of, 0, {"train": 3, "validation": 3}).examples)
    assert [e.call_id for e in held] == [f"c{i}" for i in range(12)]
    assert [e for e in held if e.split in MOST] == [e for e in whole.examples if e.split in MOST]
    assert all(not e.request.messages and not e.response for e in held if e.split not in MOST)


def test_of_a_large_task_the_same_sample_is_trained_on_in_whatever_order_it_comes() -> None:
    whole = [example(i) for i in range(400)]
    task_of = {f"c{i}": "a" if i % 8 else "b" for i in range(400)}
    held = list(for_training(of(whole), task_of, 7, MOST).examples)
    turned = for_training(of(whole[::-1]), task_of, 7, MOST).examples
    assert {e.call_id for e in held} == {e.call_id for e in turned}
    sizes = Counter((task_of[e.call_id], e.split) for e in held)
    assert sizes["a", "train"] == sizes["b", "train"] == 5 and sizes["a", "validation"] == 2
    assert sizes["a", "calibration"] == 100 and sizes["a", "test"] == 100
    places = [int(e.call_id[1:]) for e in held]
    assert places == sorted(places)
    other = {e.call_id for e in for_training(of(whole), task_of, 8, MOST).examples}
    assert other != {e.call_id for e in held}


def test_calls_of_no_task_are_counted_and_never_trained_on() -> None:
    held = list(for_training(of([example(0)]), {}, 0, MOST).examples)
    assert [e.call_id for e in held] == ["c0"] and not held[0].request.messages


def test_what_is_counted_has_no_texts_and_each_example_is_seen_whole() -> None:
    seen: list[Example] = []
    held = list(for_counting(of([example(0), example(1)]), seen.append).examples)
    assert [bool(e.response) for e in seen] == [True, True] and not any(e.response for e in held)
    assert not any(e.request.messages for e in held)
    assert held[1].group == "e1" and held[1].split == "validation"
