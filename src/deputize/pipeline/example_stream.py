"""The examples of a run as a stream from the disk, and how many of their texts the later stages hold.

A log may be larger than memory. Discovery reads the stream; training holds the texts of so many examples a task as
training can use; what is only counted is held without its texts.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from hashlib import blake2b
from itertools import islice
from typing import overload

import msgspec

from deputize.core.artifacts import Curated, Discovered
from deputize.core.example_texts import Shared, without_texts
from deputize.core.records import Example, Split

MOST_TEXTS: Mapping[Split, int] = {"train": 20_000, "validation": 4_000, "reserve": 4_000}
"""Examples of a task by split whose texts are held; of more, a seeded sample. More train no better specialist of
ours."""


class ExampleStream(Sequence[Example]):
    """The examples of curated data, read from the disk each time; one in memory at a time."""

    def __init__(self, read: Callable[[], Iterator[Example]], n: int) -> None:
        """
        Args:
            read: starts to read at the first one.
            n: how many there are.
        """
        self._read, self._n = read, n

    def __len__(self) -> int:
        return self._n

    def __iter__(self) -> Iterator[Example]:
        return map(Shared().example, self._read())

    @overload
    def __getitem__(self, at: int) -> Example: ...

    @overload
    def __getitem__(self, at: slice) -> list[Example]: ...

    def __getitem__(self, at: int | slice) -> Example | list[Example]:
        """Reads all that comes before, too: go through a stream in its order."""
        if isinstance(at, slice):
            return list(islice(self, *at.indices(self._n)))
        place = range(self._n)[at]
        return next(islice(self, place, None))


def for_training(
    curated: Curated, assignment: Mapping[str, str], seed: int, most: Mapping[Split, int] = MOST_TEXTS
) -> Curated:
    """Curated data in memory as selection and training read it: at most so many examples of train and validation a
    task.

    Of a task with more, those with the smallest seeded digests of their ids stay, whatever their order; the others are
    left out. Calibration, test and calls of no task are all there, without their texts: nothing is trained on them.
    What calls cost is left out, and so are withheld calls.

    Args:
        curated: examples as a stream.
        assignment: call id -> task id.
        seed: of the sample.
        most: examples a task by split; splits that are not named lose their texts.
    """
    kept: dict[tuple[str, Split], list[tuple[int, int, Example]]] = defaultdict(list)
    counted: list[tuple[int, Example]] = []
    for place, example in enumerate(curated.examples):
        task_id = assignment.get(example.call_id)
        if task_id is None or example.split not in most:
            counted.append((place, without_texts(example)))
            continue
        # a heap whose first item has the largest digest: it goes first
        example = msgspec.structs.replace(example, usage=None, cost_usd=None)
        heap, item = kept[task_id, example.split], (-_digest(seed, example.call_id), place, example)
        if len(heap) < most[example.split]:
            heapq.heappush(heap, item)
        else:
            heapq.heappushpop(heap, item)
    placed = [*counted, *((place, example) for heap in kept.values() for _, place, example in heap)]
    placed.sort(key=lambda item: item[0])
    return msgspec.structs.replace(curated, examples=[example for _, example in placed], withheld=[])


def without_synthetic(curated: Curated) -> Curated:
    """Curated data as a stream of the log's own calls: tasks are found among those."""
    whole = curated.examples
    n = sum(not e.made_from for e in whole)
    stream = ExampleStream(lambda: (e for e in whole if not e.made_from), n)
    return msgspec.structs.replace(curated, examples=stream)


def with_synthetic(discovered: Discovered, curated: Curated) -> Discovered:
    """Tasks with synthetic examples assigned as the calls that they were made from."""
    task_of = discovered.assignment
    more = {
        e.call_id: task_of[e.made_from] for e in curated.examples if e.made_from and e.made_from in task_of
    }
    return msgspec.structs.replace(discovered, assignment={**task_of, **more})


def for_counting(curated: Curated, see: Callable[[Example], object] = lambda example: None) -> Curated:
    """Curated data in memory without texts.

    Args:
        curated: examples as a stream.
        see: gets each whole example as it comes by.
    """

    def short() -> Iterator[Example]:
        for example in curated.examples:
            see(example)
            yield without_texts(example)

    return msgspec.structs.replace(curated, examples=list(short()))


def _digest(seed: int, call_id: str) -> int:
    written = f"{seed}\0{call_id}".encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(written, digest_size=8).digest())
