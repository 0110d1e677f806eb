"""Protocol of what writes the answers of a decoder outside this package, and the tokens that it wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, TypeAlias

Key: TypeAlias = int | str
"""A token by its id, or by its text where a server does not give ids."""


class WrittenToken(NamedTuple):
    """One token of an answer."""

    key: Key
    log_p: float
    """Under the model, before any grammar."""
    others: Mapping[Key, float]
    """Log-probabilities of the likeliest tokens at this place; the token itself may be among them."""


class Writer(Protocol):
    """Writes the likeliest answer after a prompt. Asked from any thread."""

    @property
    def label(self) -> str:
        """The engine and the precision of its weights, as certificates name them."""
        ...

    @property
    def at_once(self) -> int:
        """Answers that it may be asked for at the same time."""
        ...

    def write(self, prompt: Sequence[int]) -> list[WrittenToken]:
        """The tokens of an answer, the line break that ends each of its slots included.

        Args:
            prompt: token ids.

        Raises:
            BadInput: the engine refuses the request.
            UpstreamError: it is not there, or fails.
        """
        ...

    def close(self) -> None:
        """Frees what it holds."""
        ...
