"""Public list prices."""

from __future__ import annotations

import pytest

from deputize.scoring.list_prices import list_price, list_version


@pytest.mark.parametrize(
    "name",
    [
        "claude-sonnet-4-5",
        "anthropic/claude-sonnet-4-5-20250929",
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
    ],
)
def test_a_model_is_found_under_the_names_that_its_sellers_give_it(name: str) -> None:
    price = list_price(name)
    assert price is not None and (price.input_usd, price.output_usd) == (3.0, 15.0)
    assert (price.cache_read_usd, price.cache_write_usd) == (0.3, 3.75)


def test_what_the_list_does_not_have() -> None:
    assert list_price("our-own-model") is None and list_version()
