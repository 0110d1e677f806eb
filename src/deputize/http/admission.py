"""The decision on a request by its head alone, before a byte of its body is taken, and shares of a bounded resource."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import NamedTuple

from deputize.http.handler import HttpReply

_BUSY_SHARE = 4
"""A caller may hold this many times what is left free: alone four fifths of the whole, two of them four ninths each."""


class Admitted(NamedTuple):
    """A request that may be read."""

    answer: Callable[[bytes], Awaitable[HttpReply]]
    """body -> reply"""
    owner: str = ""
    """Whom the bytes of the body count for, such as the id of an API key; "" where callers are not told apart."""
    pause_s: float = 0.0
    """How long the connection waits before its next request, where anybody may ask this as often as they like."""


Admit = Callable[[str, str, Mapping[str, str]], "Admitted | HttpReply"]
"""(method, path with its query, lower-case headers) -> admitted, or the reply that refuses it."""


class SharedBudget:
    """A bounded amount of something, such as bytes, that several owners hold parts of.

    No named owner gets more than a multiple of what is left free, so that there is always something left for the others
    (dynamic thresholds as in shared-memory switches: Choudhury and Hahne, IEEE/ACM Trans. Networking 6(2), 1998).
    """

    __slots__ = ("_held", "total", "used")

    def __init__(self, total: int) -> None:
        self.total, self.used = total, 0
        self._held: dict[str, int] = {}

    def would_take(self, owner: str, amount: int) -> bool:
        """True where `take` would succeed now."""
        free = self.total - self.used - amount
        if free < 0:
            return False
        if not owner:
            return True
        held = self._held.get(owner, 0)
        # what an owner without anything asks for is given as long as it fits, else small totals would be of no use
        return not held or held + amount <= _BUSY_SHARE * free

    def take(self, owner: str, amount: int) -> bool:
        """Takes a part for an owner; False where there is not enough left, and nothing is taken."""
        if not owner:  # the usual case of a gateway without keys, in few steps
            if self.used + amount > self.total:
                return False
            self.used += amount
            return True
        if not self.would_take(owner, amount):
            return False
        self.used += amount
        if amount:
            self._held[owner] = self._held.get(owner, 0) + amount
        return True

    def give(self, owner: str, amount: int) -> None:
        """Gives a part back."""
        self.used -= amount
        if owner and amount:
            left = self._held[owner] - amount
            if left > 0:
                self._held[owner] = left
            else:
                del self._held[owner]
