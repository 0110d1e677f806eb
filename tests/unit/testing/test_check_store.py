"""The contract suite of stores passes a good one and refuses one that is not empty; broken ones:
contracts/test_store.py."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from deputize.core.records import Call
from deputize.store.base import Entry
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


def test_a_store_that_takes_erased_calls_from_a_journal_is_noticed() -> None:
    class Forgets(MemoryStore):
        from_journal = True

        def append(self, calls: Sequence[Call]) -> int:
            self.from_journal = False
            try:
                return super().append(calls)
            finally:
                self.from_journal = True

        def append_entries(self, entries: Sequence[Entry]) -> int:
            again = sum(e.id.startswith("tomb") for e in entries) if self.from_journal else 0
            return super().append_entries(entries) or again

    store = Forgets()
    with pytest.raises(AssertionError, match="nor do they from a journal"):
        check_store(lambda: store)


def test_a_store_that_fails_with_another_error_is_not_taken_for_a_good_one() -> None:
    class Refuses(MemoryStore):
        def rewrap(self) -> int:
            raise OSError

    store = Refuses()
    with pytest.raises(OSError):
        check_store(lambda: store)
