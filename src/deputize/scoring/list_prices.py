"""Public list prices of models, out of the genai-prices package.

References:
    https://github.com/pydantic/genai-prices (MIT licence).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

_REGION = re.compile(r"^(?:us|eu|apac|global)\.(?=[a-z]+\.)|^anthropic\.|-v\d+(?::\d+)?$")
"""What Bedrock puts around the names of models."""
PACKAGE = "genai-prices"


@dataclass(frozen=True)
class ListPrice:
    """US dollars per million tokens, by the lowest tier; None where the list has no price of its own for it."""

    input_usd: float
    output_usd: float
    cache_read_usd: float | None
    cache_write_usd: float | None


@lru_cache(maxsize=1024)
def list_price(model: str) -> ListPrice | None:
    """The price of a model; None where the list does not have it."""
    from genai_prices.data_snapshot import get_snapshot  # reading the list takes time

    name = model.lower().rsplit("/", 1)[-1]
    bare = _REGION.sub("", _REGION.sub("", _REGION.sub("", name)))
    for wanted in dict.fromkeys((name, bare)):
        try:
            _, found = get_snapshot().find_provider_model(wanted, None, None, None)
        except LookupError:
            continue
        prices = found.get_prices(datetime.now(UTC))
        read, written = _usd(prices.input_mtok), _usd(prices.output_mtok)
        if read is not None and written is not None:
            return ListPrice(read, written, _usd(prices.cache_read_mtok), _usd(prices.cache_write_mtok))
    return None


@lru_cache(maxsize=1)
def list_version() -> str:
    """The version of the list."""
    from importlib.metadata import version

    return version(PACKAGE)


def _usd(price: Any) -> float | None:
    base = getattr(price, "base", price)
    return None if base is None else float(base)
