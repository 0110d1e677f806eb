"""The memory store keeps copies: what a caller changes afterwards does not reach it."""

from __future__ import annotations

from deputize.store.memory import MemoryStore
from deputize.testing import call


def test_calls_are_copied_in() -> None:
    store, made = MemoryStore(), call("a")
    store.append([made])
    made.messages[0]["content"] = "changed"
    (kept,) = store.calls()
    assert kept.messages[0]["content"] == "hello"


def test_two_stores_share_nothing() -> None:
    one, two = MemoryStore(), MemoryStore()
    one.append([call("a")])
    assert (one.count(), two.count()) == (1, 0)
