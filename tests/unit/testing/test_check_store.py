"""The contract suite of stores passes a good one and refuses one that is not empty; broken ones: contracts/test_store.py."""

from __future__ import annotations

import pytest

from deputize.store.memory import MemoryStore
from deputize.testing import ManualClock, call, check_store


@pytest.mark.parametrize("clock", [ManualClock(), ManualClock(5.0e8)])
def test_a_good_store_passes_at_any_time(clock: ManualClock) -> None:
    store = MemoryStore(clock=clock)
    check_store(lambda: store, clock=clock)


def test_a_store_with_something_in_it_is_refused() -> None:
    store = MemoryStore()
    store.append([call("x")])
    with pytest.raises(AssertionError, match="must be empty"):
        check_store(lambda: store)


def test_a_store_that_fails_with_another_error_is_not_taken_for_a_good_one() -> None:
    class Refuses(MemoryStore):
        def rewrap(self) -> int:
            raise OSError

    store = Refuses()
    with pytest.raises(OSError):
        check_store(lambda: store)
