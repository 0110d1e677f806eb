"""Numbers as a person reads them, and bars of boxes. Colours come from the page's CSS."""

from __future__ import annotations

import shlex
import time
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from markupsafe import Markup


def share(value: float | None, digits: int = 0) -> str:
    """A share as a percentage; a dash where it is not known. Small ones keep a digit, so that none reads as 0 %."""
    if value is None:
        return "–"
    if digits == 0 and value and (abs(value) < 0.01 or 0.99 < abs(value) < 1):
        digits = 1
    return f"{100 * value:.{digits}f} %"


def usd(value: float | None) -> str:
    """An amount with as many digits as it needs."""
    if value is None:
        return "–"
    if value == 0:
        return "$0"
    if abs(value) >= 0.1:
        return f"${value:,.2f}"
    return f"${Decimal(f'{value:.2g}'):f}"


def count(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def span(interval: Sequence[float] | None) -> str:
    """An interval of shares."""
    return "–" if interval is None else f"{100 * interval[0]:.1f}–{100 * interval[1]:.1f} %"


def duration(seconds: float | None) -> str:
    """Seconds in the unit that reads best."""
    if seconds is None:
        return "–"
    if seconds >= 120:
        return f"{seconds / 60:.1f} min"
    if seconds >= 1:
        return f"{seconds:.1f} s"
    return f"{1000 * seconds:.0f} ms" if seconds >= 0.002 else f"{1000 * seconds:.2g} ms"


def milliseconds(value: float | None) -> str:
    """Milliseconds in the unit that reads best."""
    return duration(None if value is None else value / 1000)


def guesses(bits: float) -> str:
    """2^bits, as a person says it."""
    number = 2.0**bits
    for size, name in ((1e12, "trillion"), (1e9, "billion"), (1e6, "million"), (1e3, "thousand")):
        if number >= size:
            return f"{float(f'{number / size:.2g}'):g} {name}"
    return f"{number:.0f}"


def certificate_kind(kind: str) -> str:
    """The kind of a certificate in words."""
    words = {
        "not_worse_than_llm": "not worse than the LLM",
        "not_worse_than_repeats": "not worse than the LLM asked again",
        "not_worse_on_labels": "not more errors than the LLM",
        "not_worse_by_judge": "judged: not worse than the LLM",
    }
    return words[kind]


def units_words(feasibility: Mapping[str, Any] | None) -> str:
    """Calibration units that a task was expected to have, of those that its certificate needs."""
    return "–" if feasibility is None else f"{feasibility['n_units']:,} of {feasibility['n_needed']:,}"


def day(seconds: float | None) -> str:
    """Unix seconds as a date; a dash where they are not known."""
    return time.strftime("%Y-%m-%d", time.gmtime(seconds)) if seconds else "–"


def validity(certificate: Mapping[str, Any]) -> str:
    """The time and the calls after which a certificate must be renewed; "" where neither is limited."""
    days, calls = certificate["renew_after_days"], certificate["renew_after_calls"]
    return " or ".join([*([f"{days:g} days"] if days else []), *([f"{calls:,} calls"] if calls else [])])


def level_words(task: Mapping[str, Any]) -> str:
    """The level of a task's test in words, what is left for later tests on the same episodes, and the claim for all
    tasks at once."""
    spending, together = task["delta_spending"], task["family_wise"]
    words = f"Tested at level {spending['test_level']:.2g} of delta {spending['delta']:g}"
    if spending["n_earlier"]:
        n = spending["n_earlier"]
        words += f", after {n} earlier test{'' if n == 1 else 's'} on some of the same episodes"
    if spending["new_groups_only"]:
        words += f", on the {spending['n_groups']:,} episodes that no earlier test saw"
    words += f"; {spending['delta_left']:.2g} is left for further tests on the same episodes."
    if together is None or together["n_tasks"] < 2:
        return words
    held = (
        f"{share(together['share_served'])} could be served"
        if together["certified"]
        else "nothing could be claimed"
    )
    return f"{words} Were the claims of all {together['n_tasks']} tasks tested to hold at once, {held}."


def leak_words(test: Mapping[str, Any]) -> str:
    """One row of a task's `leak_tests` as a sentence: what a specialist gave away of its planted secrets."""
    words = (
        f"{test['method']}: {test['n_planted']} secrets planted, {test['n_extracted']} extracted, {test['n_exposed']} exposed; "
        f"mean exposure {test['mean_exposure']:.1f} bits (1.4 in a model that never saw them)"
    )
    left, whole = test.get("bits_remaining"), test.get("bits_total")
    if left is not None and whole is not None:
        words += f"; the least safe one still costs {guesses(left)} of {guesses(whole)} guesses"
    if n_repeated := test.get("n_repeated"):
        words += f"; {n_repeated} of them stood in up to {test['repeats']} training examples, as the data of an episode does"
    return f"{words}. Refused: {test['reason']}" if test["leaks"] else words


def served_bars(tasks: Sequence[Mapping[str, Any]], limit: int = 12) -> Markup:
    """One bar per task, as long as its share of the calls meant for code, filled as far as specialists serve it."""
    shown = [t for t in tasks if t["share_of_calls"] > 0][:limit]
    if not shown:
        return Markup("")
    widest = max(t["share_of_calls"] for t in shown)
    # boxes, not a drawing: names then go above their bars where the screen is narrow
    rows = [
        f'<div class="bar"><span class="bar-name">{Markup.escape(t["name"])}</span><span class="bar-track">'
        f'<span class="bar-all" style="width:{max(0.5, 100 * t["share_of_calls"] / widest):.1f}%">'
        f'<span class="bar-served" style="width:{100 * (served_share(t) or 0):.1f}%"></span></span></span>'
        f'<span class="bar-text">{share(t["share_of_calls"])} of calls, {_served_words(t)}</span></div>'
        for t in shown
    ]
    return Markup('<div class="bars">' + "".join(rows) + "</div>")


def _served_words(task: Mapping[str, Any]) -> str:
    served = served_share(task)
    return "not tried" if served is None else f"{share(served)} served" if served else "LLM only"


def cost_bars(tasks: Sequence[Mapping[str, Any]], limit: int = 12) -> Markup:
    """A bar for each task, as long as its cost with the LLM alone, and one for its cost with its route."""
    shown = sorted(
        (t for t in tasks if t["cost"]["llm_only_usd"] > 0), key=lambda t: -float(t["cost"]["llm_only_usd"])
    )[:limit]
    if not shown:
        return Markup("")
    widest = max(max(t["cost"]["llm_only_usd"], t["cost"]["routed_usd"]) for t in shown)

    def bar(kind: str, usd_: float) -> str:
        return f'<span class="{kind}" style="width:{max(0.3, 100 * usd_ / widest):.1f}%"></span>'

    rows = [
        f'<div class="bar"><span class="bar-name">{Markup.escape(t["name"])}</span><span class="bar-pair">'
        f"{bar('bar-all', t['cost']['llm_only_usd'])}"
        f"{bar('bar-served', t['cost']['routed_usd']) if t['certificate'] else ''}</span>"
        f'<span class="bar-text">{usd(t["cost"]["llm_only_usd"])}'
        f"{' → ' + usd(t['cost']['routed_usd']) if t['certificate'] else ''}</span></div>"
        for t in shown
    ]
    return Markup('<div class="bars">' + "".join(rows) + "</div>")


def site_bars(replay: Mapping[str, Any]) -> Markup:
    """One bar per site of a replay, as long as its share of the calls, filled as far as specialists served it."""
    rows = sorted(replay["by_site"].items(), key=lambda item: -item[1]["n_calls"])
    return served_bars(
        [
            {
                "name": name or "no site",
                "share_of_calls": row["n_calls"] / replay["n_calls"],
                "certificate": row["n_slm"],
                "held_out": {"share_served": row["n_slm"] / row["n_calls"]},
            }
            for name, row in rows
            if row["n_calls"]
        ]
    )


def served_share(task: Mapping[str, Any]) -> float | None:
    """Share of a task's unseen calls meant for code that its route serves; None where it was tried on none."""
    if not task.get("certificate"):
        return 0.0
    return float(task["held_out"]["share_served"]) if task.get("held_out") else None


def at_most(interval: Sequence[float] | None) -> str:
    """The upper end of an interval of a loss."""
    return "–" if interval is None else f"at most {share(max(0.0, interval[1]), 1)}"


def energy(watt_hours: float | None) -> str:
    """Energy in the unit that reads best."""
    if watt_hours is None:
        return "–"
    for size, name in ((1e6, "megawatt-hours"), (1e3, "kilowatt-hours"), (1.0, "watt-hours")):
        if abs(watt_hours) >= size:
            return f"{watt_hours / size:.3g} {name}"
    return f"{1000 * watt_hours:.3g} milliwatt-hours"


def mass(grams: float | None) -> str:
    """A mass in the unit that reads best."""
    if grams is None:
        return "–"
    return f"{grams / 1000:.3g} kg" if abs(grams) >= 1000 else f"{grams:.3g} g"


METHODS = {
    "linear": "linear model",
    "frozen": "linear model on a text encoder",
    "frozen_base": "linear model on a language model",
    "encoder": "tuned text encoder",
    "lora": "small language model",
    "majority": "always the most frequent answer",
}


def method_words(method: str) -> str:
    """A training method in words; the name of one that has none here."""
    if method.startswith("probe: "):
        return f"untrained, {method.removeprefix('probe: ')}"
    *others, last = (METHODS.get(part, part.replace("_", " ")) for part in method.split("+"))
    return " and ".join([*([", ".join(others)] if others else []), last])


VERDICTS = {"specialist": "specialist", "cache": "cache", "code": "plain code", "llm": "LLM"}


def verdict_words(kind: str) -> str:
    """The kind of a verdict in words."""
    return VERDICTS[kind]


def repeats_words(task: Mapping[str, Any]) -> str:
    """How many calls of a task repeat earlier ones, and with the same answer."""
    found, n = task["verdict"], task["n_calls"]
    if not found["n_exact_repeats"] and not found["n_near_repeats"]:
        return f"No call of {count(n)} repeats an earlier one."
    return (
        f"Of {count(n)} calls {count(found['n_exact_repeats'])} repeat an earlier one letter for letter ({count(found['n_exact_alike'])} "
        f"with its answer), and {count(found['n_near_repeats'])} but for case, numbers and punctuation ({count(found['n_near_alike'])})."
    )


def nothing_learned(report: Mapping[str, Any]) -> str:
    """Why a run had nothing to learn from, as its first line; "" where it had something."""
    source = report["source"]
    n_calls, n_code = source["n_calls"], source["n_code_calls"]
    if not n_calls:
        return "Nothing was learned: the log has no calls."
    if not n_code:
        most = max(source["sites"], key=lambda site: int(site["n_human"]), default=None)
        why = f" At {most['name']}: {most['evidence']}" if most and most.get("evidence") else ""
        return f"Nothing was learned: of {count(n_calls)} calls none is known to be meant for code.{why}"
    if not report["tasks"]:
        return (
            f"Nothing was learned: no task was found in {count(n_code)} calls meant for code. Too few share prompt, tools and "
            "reply format, or curation left them out (`deputize dataset dropped` says which)."
        )
    return ""


def take_in_command(site: str) -> str:
    """The command that takes in the calls of a site whose replies count as meant for a person."""
    return f"deputize convert --audience {shlex.quote(f'{site}=code')}"
