"""Costs: price of the LLM and of specialists, with their energy and CO2e.

Every assumption has a name, a source and a date in prices.toml, and comes out again in the report.
"""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import msgspec

from deputize.core.contracts import text_of
from deputize.core.errors import BadInput
from deputize.core.records import Call, Example, Message, Usage
from deputize.files import read_toml
from deputize.scoring.list_prices import PACKAGE, list_price, list_version

_encode = msgspec.json.Encoder().encode
_DATE = re.compile(r"[-@](20\d{2}-?\d{2}-?\d{2}|latest|preview)$")


@dataclass(frozen=True)
class Price:
    """US dollars per million tokens of one model."""

    model: str
    input_usd: float
    output_usd: float
    source: str
    as_of: str
    assumed: bool = False
    """True where the model is not in the list and the price of another is used."""
    cache_read_usd: float | None = None
    """Of prompt tokens that the provider's cache gave; None: as other prompt tokens."""
    cache_write_usd: float | None = None
    """Of prompt tokens that were written to it; None: as other prompt tokens."""

    def usd(self, usage: Usage) -> float:
        """The price of a call's tokens, US dollars."""
        cached = min(usage.cached_tokens, usage.prompt_tokens)
        wrote = min(usage.cache_write_tokens, usage.prompt_tokens - cached)
        read_usd = self.input_usd if self.cache_read_usd is None else self.cache_read_usd
        write_usd = self.input_usd if self.cache_write_usd is None else self.cache_write_usd
        return (
            (usage.prompt_tokens - cached - wrote) * self.input_usd
            + cached * read_usd
            + wrote * write_usd
            + usage.completion_tokens * self.output_usd
        ) / 1e6

    def cache_usd(self, usage: Usage) -> float:
        """The price that tokens read from the provider's cache were cheaper by, US dollars."""
        if self.cache_read_usd is None:
            return 0.0
        return (
            min(usage.cached_tokens, usage.prompt_tokens)
            * max(0.0, self.input_usd - self.cache_read_usd)
            / 1e6
        )


@dataclass(frozen=True)
class Spend:
    """Tokens and money of one call to the LLM, or a sum of them."""

    usd: float = 0.0
    cache_usd: float = 0.0
    """What it would have cost more without the provider's cache."""
    prompt_tokens: float = 0.0
    completion_tokens: float = 0.0
    n_estimated: int = 0
    """Calls whose tokens were estimated from characters."""
    n_assumed: int = 0
    """Calls priced by the default model's list price."""

    def __add__(self, other: Spend) -> Spend:
        return Spend(
            usd=self.usd + other.usd,
            cache_usd=self.cache_usd + other.cache_usd,
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            n_estimated=self.n_estimated + other.n_estimated,
            n_assumed=self.n_assumed + other.n_assumed,
        )


@dataclass(frozen=True)
class Prices:
    """All prices and assumptions that costs are counted with."""

    models: dict[str, Price]
    """Of HOME/prices.toml."""
    default: Price
    """Of a model that no list has."""
    chars_per_token: float
    machine: dict[str, Any]
    energy: dict[str, Any]

    def of(self, model: str) -> Price:
        """The price of a model: its entry in the home's list, with or without the date in its name; else its public
        list price; else the default model's, marked as assumed."""
        name = model.lower().rsplit("/", 1)[-1]
        own = self.models.get(name) or self.models.get(_DATE.sub("", name))
        if own is not None:
            return own
        listed = _listed(name)
        if listed is not None:
            return listed
        price = self.default
        return replace(price, model=model or "unknown", assumed=True)

    def specialist_usd(self, seconds: float, n_cores: int) -> float:
        """Cost of `seconds` of this machine, US dollars."""
        return float(seconds / 3600 * self.machine["usd_per_core_hour"] * n_cores)

    def specialist_wh(self, seconds: float, n_cores: int) -> float:
        return float(seconds / 3600 * self.machine["watts_per_core"] * n_cores)

    def llm_wh(self, spend: Spend) -> float:
        e = self.energy
        return float(
            spend.prompt_tokens / 1000 * e["wh_per_1k_input_tokens"]
            + spend.completion_tokens / 1000 * e["wh_per_1k_output_tokens"]
        )

    def co2e_g(self, wh: float) -> float:
        return float(wh * self.energy["co2e_g_per_wh"])

    def assumptions(self) -> list[str]:
        """Assumptions of the costs, as sentences for the report."""
        m, e = self.machine, self.energy
        return [
            f"LLM prices are public list prices ({', '.join(sorted({f'{p.source}, {p.as_of}' for p in (self.default, *self.models.values())}))}), "
            "without batch discounts; tokens that a provider's cache gave or took are counted at its prices.",
            "Calls left to the LLM find the cache cold as often as the call before them is served by a specialist. That is counted "
            "within a task; not counted is a cache that other tasks share, nor how long a provider keeps it.",
            f"A model without a listed price is counted as {self.default.model}; where a log has no token counts, "
            f"{self.chars_per_token:g} characters count as a token.",
            f"A specialist costs its measured seconds at {m['usd_per_core_hour']} USD a core and hour ({m['source']}).",
            f"Specialist energy: {m['watts_note']}.",
            f"LLM energy: {e['wh_per_1k_input_tokens']} watt-hours per 1,000 tokens read and {e['wh_per_1k_output_tokens']} "
            f"per 1,000 written ({e['source']}); emissions: {e['co2e_g_per_wh']} g of carbon dioxide a watt-hour ({e['co2e_source']}).",
        ]


def load_prices(home: Path | None = None, own: dict[str, Any] | None = None) -> Prices:
    """The price list, with HOME/prices.toml read on top where there is one.

    Args:
        home: the home folder.
        own: its prices.toml where that has been read already.

    Raises:
        BadInput: HOME/prices.toml does not have the format of the list.
    """
    table = tomllib.loads(resources.files("deputize.scoring").joinpath("prices.toml").read_text("utf-8"))
    if own is None:
        own = read_toml(home / "prices.toml") if home else {}
    try:
        for name, block in own.items():
            if not isinstance(block, dict):
                raise TypeError(f"{name} is not a table")
            models = {**table.get(name, {}).get("models", {}), **block.get("models", {})}
            table[name] = {**table.get(name, {}), **block, **({"models": models} if models else {})}
        listed = {
            model: _own_price(model, p, block)
            for block in table.values()
            for model, p in block.get("models", {}).items()
        }
        default_model = table["assumed"]["default_model"]
        default = listed.get(default_model) or _listed(default_model)
        if default is None:
            raise ValueError(f"the default model {default_model!r} has no price")
        return Prices(
            models=listed,
            default=default,
            chars_per_token=float(table["assumed"]["chars_per_token"]),
            machine=table["machine"],
            energy=table["energy"],
        )
    except (KeyError, TypeError, ValueError) as error:
        raise BadInput(f"{home}/prices.toml does not have the format of a price list: {error}") from error


def _own_price(model: str, given: dict[str, Any], block: dict[str, Any]) -> Price:
    def optional(name: str) -> float | None:
        return float(given[name]) if name in given else None

    return Price(
        model,
        float(given["input"]),
        float(given["output"]),
        block.get("source", ""),
        block.get("as_of", ""),
        cache_read_usd=optional("cache_read"),
        cache_write_usd=optional("cache_write"),
    )


def _listed(model: str) -> Price | None:
    """The public list price of a model."""
    found = list_price(model)
    if found is None:
        return None
    return Price(
        model,
        found.input_usd,
        found.output_usd,
        PACKAGE,
        list_version(),
        cache_read_usd=found.cache_read_usd,
        cache_write_usd=found.cache_write_usd,
    )


def tokens_of(messages: list[Message], extra: Any, chars_per_token: float) -> float:
    """Tokens of messages and schemas, from their characters."""
    n_chars = sum(len(text_of(m)) + sum(len(_encode(c)) for c in m.get("tool_calls") or []) for m in messages)
    return (n_chars + (len(_encode(extra)) if extra else 0)) / chars_per_token


def estimated_usage(call: Call, prices: Prices) -> Usage:
    """The tokens that the LLM would have been asked for a call, from characters as in `spend_of`."""
    return Usage(
        prompt_tokens=round(tokens_of(call.messages, call.tools, prices.chars_per_token)),
        completion_tokens=round(tokens_of([call.response], None, prices.chars_per_token)),
        estimated=True,
    )


def llm_spend(example: Example, prices: Prices) -> Spend:
    """Cost of a recorded LLM call: as logged where the log says, else tokens times list price."""
    return spend_of(
        example.model,
        example.usage,
        example.cost_usd,
        example.request.messages,
        example.request.tools,
        example.response,
        prices,
    )


def spend_of(
    model: str,
    usage: Usage | None,
    cost_usd: float | None,
    messages: list[Message],
    tools: Any,
    response: Message,
    prices: Prices,
) -> Spend:
    """Cost of a call from its parts."""
    estimated = usage is None or usage.estimated or not usage.prompt_tokens
    if usage is not None and usage.prompt_tokens:
        read, written = float(usage.prompt_tokens), float(usage.completion_tokens)
    else:
        read = tokens_of(messages, tools, prices.chars_per_token)
        written = tokens_of([response], None, prices.chars_per_token)
    price = prices.of(model)
    if cost_usd is not None:
        usd = cost_usd
    elif usage is not None and usage.prompt_tokens:
        usd = price.usd(usage)
    else:
        usd = (read * price.input_usd + written * price.output_usd) / 1e6
    return Spend(
        usd=usd,
        cache_usd=price.cache_usd(usage) if usage is not None else 0.0,
        prompt_tokens=read,
        completion_tokens=written,
        n_estimated=int(estimated),
        n_assumed=int(price.assumed and cost_usd is None),
    )


def break_even_calls(one_off_usd: float, saved_usd_per_call: float) -> int | None:
    """After how many calls a one-off cost is earned back; None where a call saves nothing."""
    return None if saved_usd_per_call <= 0 else max(0, int(-(-one_off_usd // saved_usd_per_call)))
