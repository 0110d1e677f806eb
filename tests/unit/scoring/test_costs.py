"""Costs add up, and their assumptions are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from deputize.core.errors import BadInput
from deputize.core.records import Example, Request, Usage
from deputize.scoring import costs

PRICES = costs.load_prices()


@pytest.mark.parametrize(
    ("model", "input_usd"),
    [
        ("gpt-4o", 2.5),
        ("gpt-4o-2024-08-06", 2.5),
        ("gpt-4o-2024-05-13", 5.0),
        ("openai/gpt-4o-mini-2024-07-18", 0.15),
        ("claude-3-7-sonnet-20250219", 3.0),
        ("anthropic/claude-3-5-sonnet-latest", 3.0),
        ("claude-sonnet-4-5-20250929", 3.0),
        ("gpt-3.5-turbo-0125", 0.5),
        ("gpt-4-0613", 30.0),
    ],
)
def test_names_and_dates_find_their_price(model: str, input_usd: float) -> None:
    assert (PRICES.of(model).input_usd, PRICES.of(model).assumed) == (input_usd, False)


def test_every_price_has_a_source_and_a_date() -> None:
    for name in ("gpt-4o-mini", "claude-sonnet-4-5"):
        price = PRICES.of(name)
        assert price.source == "genai-prices" and price.as_of and price.input_usd > 0
    assert any("gpt-4o-mini" in line for line in PRICES.assumptions())


def test_an_unknown_model_is_assumed_not_free() -> None:
    price = PRICES.of("our-own-model")
    assert price.assumed and price.input_usd == PRICES.of("gpt-4o-mini").input_usd


def example(**given: object) -> Example:
    fields = {
        "call_id": "c",
        "request": Request(messages=[{"role": "user", "content": "x" * 4000}]),
        "response": {"role": "assistant", "content": "y" * 400},
        "audience": "code",
        "site": "s",
        "episode": "e",
        "group": "e",
        "model": "gpt-4o",
    }
    return Example(**{**fields, **given})  # type: ignore[arg-type]


def test_logged_cost_then_logged_tokens_then_characters() -> None:
    assert costs.llm_spend(example(cost_usd=0.5), PRICES).usd == 0.5
    counted = costs.llm_spend(
        example(usage=Usage(prompt_tokens=1_000_000, completion_tokens=100_000)), PRICES
    )
    assert (counted.usd, counted.n_estimated) == (pytest.approx(3.5), 0)  # type: ignore[comparison-overlap]
    guessed = costs.llm_spend(example(), PRICES)
    assert (guessed.usd, guessed.n_estimated) == (pytest.approx((1000 * 2.5 + 100 * 10) / 1e6), 1)  # type: ignore[comparison-overlap]
    both = counted + guessed
    assert both.usd == pytest.approx(counted.usd + guessed.usd) and both.n_estimated == 1


def test_tokens_of_a_cache_have_their_own_price() -> None:
    usage = Usage(prompt_tokens=1000, completion_tokens=10, cached_tokens=600, cache_write_tokens=300)
    price = costs.Price("m", 3.0, 15.0, "s", "d", cache_read_usd=0.3, cache_write_usd=3.75)
    assert price.usd(usage) == pytest.approx((100 * 3 + 600 * 0.3 + 300 * 3.75 + 10 * 15) / 1e6)
    assert costs.Price("m", 3.0, 15.0, "s", "d").usd(usage) == pytest.approx((1000 * 3 + 10 * 15) / 1e6)
    warm = costs.llm_spend(example(model="claude-sonnet-4-5", usage=usage), PRICES)
    cold = costs.llm_spend(
        example(model="claude-sonnet-4-5", usage=Usage(prompt_tokens=1000, completion_tokens=10)), PRICES
    )
    assert warm.usd < cold.usd, "a route saves less where the LLM's cache was warm"
    assert price.cache_usd(usage) == pytest.approx(600 * 2.7 / 1e6)
    assert costs.Price("m", 3.0, 15.0, "s", "d").cache_usd(usage) == 0 == cold.cache_usd
    assert (warm + warm).cache_usd == pytest.approx(2 * warm.cache_usd) and warm.cache_usd > 0


def test_tool_calls_and_schemas_count() -> None:
    plain = costs.llm_spend(example(), PRICES)
    tools = [{"type": "function", "function": {"name": "f" * 400}}]
    call = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"function": {"name": "f", "arguments": "z" * 800}}],
    }
    rich = costs.llm_spend(
        example(
            request=Request(messages=[{"role": "user", "content": "x" * 4000}], tools=tools), response=call
        ),
        PRICES,
    )
    assert rich.prompt_tokens > plain.prompt_tokens and rich.completion_tokens > plain.completion_tokens


def test_own_prices_are_read_on_top(tmp_path: Path) -> None:
    (tmp_path / "prices.toml").write_text(
        '[mine]\nsource = "us"\nas_of = "today"\n[mine.models]\n"m" = {input = 1, output = 2, cache_read = 0.1}\n'
    )
    own = costs.load_prices(tmp_path)
    assert own.of("m").cache_read_usd == 0.1 and own.of("vendor/m-2024-05-13").input_usd == 1.0
    assert own.of("m").input_usd == 1.0 and own.of("gpt-4o").input_usd == 2.5
    (tmp_path / "prices.toml").write_text('[mine.models]\n"m" = {input = "dear"}\n')
    with pytest.raises(BadInput, match="price list"):
        costs.load_prices(tmp_path)


def test_machine_energy_and_break_even() -> None:
    assert PRICES.specialist_usd(3600, 2) == pytest.approx(0.1008)
    assert PRICES.specialist_wh(3600, 2) == pytest.approx(20)
    assert PRICES.llm_wh(costs.Spend(prompt_tokens=1000, completion_tokens=1000)) == pytest.approx(0.82)
    assert PRICES.co2e_g(1000) == pytest.approx(445)
    assert costs.break_even_calls(1.0, 0.3) == 4
    assert costs.break_even_calls(1.0, 0.0) is None
