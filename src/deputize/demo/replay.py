"""Scores fresh calls that went through the gateway: who served them, how often as the LLM would have, how fast, at what cost."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from deputize.core.contracts import agree, answer_of, fold, text_of, tool_calls_of
from deputize.core.records import Contract, Message, Usage
from deputize.demo.agent import Seen
from deputize.scoring.costs import Prices, spend_of
from deputize.testing.scripted_llm import Script, count_tokens, usage_of


def same_answer(got: Message, wanted: Message, contract: Contract | None) -> bool:
    """Whether a reply says what the teacher would have said: under the route's contract, else word for word."""
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
    """The replay's part of the report.

    Args:
        seen: the calls, as the agent saw them.
        teacher: what the LLM would have answered to the same request.
        contracts: route id -> what a reply must look like.
        prices: for the bill; a specialist is billed all the machine's cores for as long as its answer took.
        model: the LLM's name in the price list.
        n_cores: of this machine.

    Returns:
        n_calls, by_server (slm, llm: n_calls, share, agreement, p50_ms, p95_ms), by_site, cost (llm_only_usd,
        routed_usd, specialist_usd), disagreements (the first ten). `agreement` of the LLM with itself is 1 by
        construction: the teacher is a script.
    """
    rows = []
    for one in seen:
        body = {"messages": one.messages, "tools": one.tools}
        wanted = teacher(body)
        usage = usage_of(body, wanted)
        counted = Usage(prompt_tokens=usage["prompt_tokens"], completion_tokens=usage["completion_tokens"])
        llm_usd = spend_of(model, counted, None, one.messages, one.tools, wanted, prices).usd
        agrees = one.served_by != "slm" or same_answer(one.response, wanted, contracts.get(one.route))
        rows.append((one, wanted, agrees, llm_usd))
    specialist_usd = sum(
        prices.specialist_usd(one.latency_ms / 1000, n_cores) for one, *_ in rows if one.served_by == "slm"
    )
    kept_usd = sum(usd for one, _, _, usd in rows if one.served_by != "slm")
    wrong = [(one, wanted) for one, wanted, agrees, _ in rows if not agrees]
    return {
        "n_calls": len(rows),
        "by_server": {
            name: _figures([(o, a) for o, _, a, _ in rows if o.served_by == name], len(rows))
            for name in ("slm", "llm")
        },
        "by_site": {
            site: {
                "n_calls": sum(o.site == site for o, *_ in rows),
                "n_slm": sum(o.site == site and o.served_by == "slm" for o, *_ in rows),
                "n_disagree": sum(o.site == site and not a for o, _, a, _ in rows),
            }
            for site in dict.fromkeys(o.site for o, *_ in rows)
        },
        "cost": {
            "llm_only_usd": round(sum(usd for *_, usd in rows), 6),
            "routed_usd": round(kept_usd + specialist_usd, 6),
            "specialist_usd": round(specialist_usd, 6),
        },
        "disagreements": [
            {"site": one.site, "got": _brief(one.response), "wanted": _brief(wanted)}
            for one, wanted in wrong[:10]
        ],
        "note": "Simulated agent and LLM: its latency is a setting, its price an assumption (prices.toml of the home).",
    }


def _figures(rows: Sequence[tuple[Seen, bool]], n_all: int) -> dict[str, Any]:
    times = sorted(one.latency_ms for one, _ in rows)
    return {
        "n_calls": len(rows),
        "share": round(len(rows) / n_all, 4) if n_all else None,
        "agreement": round(sum(agrees for _, agrees in rows) / len(rows), 4) if rows else None,
        "p50_ms": round(statistics.median(times), 1) if times else None,
        "p95_ms": round(times[min(len(times) - 1, int(0.95 * len(times)))], 1) if times else None,
        "mean_reply_tokens": round(statistics.fmean(count_tokens(_brief(o.response)) for o, _ in rows), 1)
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
