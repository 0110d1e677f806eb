"""Scores of fresh simulated calls through the gateway: who served them, agreement with the LLM, latency, cost."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from deputize.core.contracts import agree, answer_of, fold, text_of, tool_calls_of
from deputize.core.records import Contract, Message, Usage
from deputize.demo.agent import Seen
from deputize.scoring.costs import Prices, spend_of
from deputize.testing.scripted_llm import Script, count_tokens, usage_of


def same_answer(got: Message, wanted: Message, contract: Contract | None) -> bool:
    """Check whether a reply agrees with the simulated LLM's: under the route's contract, else word for word."""
    if contract is not None:
        return agree(answer_of(got, contract), answer_of(wanted, contract), contract)
    return tool_calls_of(got) == tool_calls_of(wanted) and fold(text_of(got)) == fold(text_of(wanted))


def score(
    seen: Sequence[Seen],
    teacher: Script,
    contracts: Mapping[str, Contract],
    prices: Prices,
    model: str,
    *,
    n_cores: int,
) -> dict[str, Any]:
    """The replay's part of the report; all figures are of a simulation.

    Args:
        seen: the calls, as the agent saw them.
        teacher: the script of the simulated LLM, for its answer to the same request.
        contracts: route id -> what a reply must look like.
        prices: for the costs; a specialist is billed all the machine's cores for as long as its answer took.
        model: the LLM's name in the price list.
        n_cores: of this machine.

    Returns:
        n_calls, by_server (slm, llm: n_calls, share, agreement, p50_ms, p95_ms), by_site, cost (llm_only_usd,
        routed_usd, specialist_usd), disagreements (the first ten). `agreement` of the LLM with itself is 1 by
        construction: the teacher is a script.
    """
    rows = [_compared(one, teacher, contracts, prices, model) for one in seen]
    specialist_usd = sum(
        prices.specialist_usd(row.call.latency_ms / 1000, n_cores) for row in rows if row.by_specialist
    )
    kept_usd = sum(row.llm_usd for row in rows if not row.by_specialist)
    disagreements = [row for row in rows if not row.agrees]
    return {
        "n_calls": len(rows),
        "by_server": {
            name: _figures([row for row in rows if row.call.served_by == name], len(rows))
            for name in ("slm", "llm")
        },
        "by_site": {
            site: _counts([row for row in rows if row.call.site == site])
            for site in dict.fromkeys(row.call.site for row in rows)
        },
        "cost": {
            "llm_only_usd": round(sum(row.llm_usd for row in rows), 6),
            "routed_usd": round(kept_usd + specialist_usd, 6),
            "specialist_usd": round(specialist_usd, 6),
        },
        "disagreements": [
            {"site": row.call.site, "got": _brief(row.call.response), "wanted": _brief(row.wanted)}
            for row in disagreements[:10]
        ],
        "note": "Simulated agent and LLM: its latency is a setting, its price an assumption (prices.toml of the home).",
    }


class _Compared(NamedTuple):
    """A call and the simulated LLM's answer to the same request."""

    call: Seen
    wanted: Message
    agrees: bool
    llm_usd: float
    """The price of the call, had the LLM served it."""

    @property
    def by_specialist(self) -> bool:
        return self.call.served_by == "slm"


def _compared(
    call: Seen, teacher: Script, contracts: Mapping[str, Contract], prices: Prices, model: str
) -> _Compared:
    body = {"messages": call.messages, "tools": call.tools}
    wanted = teacher(body)
    usage = usage_of(body, wanted)
    counted = Usage(prompt_tokens=usage["prompt_tokens"], completion_tokens=usage["completion_tokens"])
    usd = spend_of(model, counted, None, call.messages, call.tools, wanted, prices).usd
    agrees = call.served_by != "slm" or same_answer(call.response, wanted, contracts.get(call.route))
    return _Compared(call, wanted, agrees, usd)


def _counts(rows: Sequence[_Compared]) -> dict[str, int]:
    return {
        "n_calls": len(rows),
        "n_slm": sum(row.by_specialist for row in rows),
        "n_disagree": sum(not row.agrees for row in rows),
    }


def _figures(rows: Sequence[_Compared], n_all: int) -> dict[str, Any]:
    times = sorted(row.call.latency_ms for row in rows)
    return {
        "n_calls": len(rows),
        "share": round(len(rows) / n_all, 4) if n_all else None,
        "agreement": round(sum(row.agrees for row in rows) / len(rows), 4) if rows else None,
        "p50_ms": round(statistics.median(times), 1) if times else None,
        "p95_ms": round(times[min(len(times) - 1, int(0.95 * len(times)))], 1) if times else None,
        "mean_reply_tokens": round(
            statistics.fmean(count_tokens(_brief(row.call.response)) for row in rows), 1
        )
        if rows
        else None,
    }


def _brief(message: Message) -> str:
    calls = tool_calls_of(message)
    if calls:
        return "; ".join(
            f"{c['name']}({', '.join(f'{k}={v}' for k, v in c['arguments'].items())})" for c in calls
        )
    return text_of(message)
