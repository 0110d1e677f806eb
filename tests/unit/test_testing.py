"""The public checks notice what they are there to notice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from deputize.core.records import Call
from deputize.store.memory import MemoryStore
from deputize.testing import ManualClock, call, check_store


def test_a_clock_goes_forward_only() -> None:
    clock = ManualClock(10.0)
    clock.advance(2.5)
    assert clock() == 12.5
    with pytest.raises(ValueError):
        clock.advance(-1)


def test_a_good_store_passes() -> None:
    store = MemoryStore()
    check_store(lambda: store)


class Forgetful(MemoryStore):
    def append(self, calls: Sequence[Call]) -> int:
        super().append(calls)
        return len(calls)


class Unordered(MemoryStore):
    def calls(self, **asked: Any) -> Iterator[Call]:
        return reversed(list(super().calls(**asked)))


@pytest.mark.parametrize(("kind", "promise"), [(Forgetful, "not added again"), (Unordered, "by time")])
def test_a_broken_store_is_named(kind: type[MemoryStore], promise: str) -> None:
    store = kind()
    with pytest.raises(AssertionError, match=promise):
        check_store(lambda: store)


def test_a_store_with_something_in_it_is_refused() -> None:
    store = MemoryStore()
    store.append([call("x")])
    with pytest.raises(AssertionError, match="empty"):
        check_store(lambda: store)
