"""Importing spaCy and Presidio without the packages that they load only because these are installed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def not_importable(*names: str) -> Iterator[None]:
    """Hides packages from those imported meanwhile, unless they are loaded already.

    Presidio loads transformers, and spaCy torch, for engines that are not used here: seven and four seconds in each
    process that looks for personal data.
    """
    hidden = [name for name in names if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in hidden:
            if sys.modules.get(name) is None:  # else another thread has put the package there
                sys.modules.pop(name, None)
