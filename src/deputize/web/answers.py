"""The three questions that a report answers, in plain sentences: what it saves, whether to trust it, what to do
next."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from deputize.web.figures import count, duration, energy, nothing_learned, share, take_in_command, usd

MOST_STEPS = 12
Json = Mapping[str, Any]


class NextStep(NamedTuple):
    """One thing to do: a sentence and the commands for it."""

    words: str
    commands: tuple[str, ...] = ()


def headline(report: Json) -> str:
    """The first line of a report: what it saves, or why it saves nothing."""
    total, cost = report["total"], report["total"]["cost"]
    if nothing := nothing_learned(report):
        return nothing
    if report["nothing_trained_reason"]:
        return "Too few episodes: nothing of this log can be certified yet"
    if not total["n_routes"]:
        return "Nothing is saved: every call stays with the large language model (LLM)"
    if not cost["llm_only_usd"]:
        return f"{share(total['share_of_code_calls_served'])} of the calls meant for code need no large language model"
    saved = cost["llm_only_usd"] - cost["routed_usd"]
    if saved <= 0:
        return f"Costs more than the large language model alone: {usd(cost['routed_usd'])} instead of {usd(cost['llm_only_usd'])}"
    return f"Saves {usd(saved)} of {usd(cost['llm_only_usd'])}, {share(saved / cost['llm_only_usd'])} of the model bill of these calls"


class Saved(NamedTuple):
    """An amount saved, and what it is saved in."""

    amount: str
    """ "–" where nothing is routed."""
    words: str
    """In a month at the rate of the log, or per thousand calls where the log is too short to say."""


def saved_money(report: Json) -> Saved:
    """Money saved in a month, or by a thousand calls."""
    cost = report["total"]["cost"]
    return _saved(report, cost["llm_only_usd"] - cost["routed_usd"], usd)


def saved_energy(report: Json) -> Saved:
    """Energy saved likewise."""
    figures = report["total"]["energy"]
    return _saved(report, figures["llm_only_wh"] - figures["routed_wh"], energy)


def _saved(report: Json, of_log: float, said: Callable[[float], str]) -> Saved:
    total = report["total"]
    n, monthly = total["n_code_calls"], report["source"]["calls_per_month"]
    if not n or not total["n_routes"]:
        return Saved("–", "nothing is routed")
    amount = of_log / n * (monthly or 1000)
    words = f"a month, at {count(monthly)} calls" if monthly else "per 1,000 calls"
    return Saved(said(amount) if amount >= 0 else f"−{said(-amount)}", words)


def warnings(report: Json) -> list[str]:
    """Sentences that speak against routes at first sight: slower or more expensive than the LLM, measured on
    calibration only, trained on erased calls."""
    out = []
    for task in report["tasks"]:
        specialist = task["specialist"]
        if not task["certificate"] or not specialist:
            continue
        seconds, llm_ms = specialist["seconds_per_call"], task["median_llm_latency_ms"]
        if seconds and llm_ms and 1000 * seconds > llm_ms:
            out.append(
                f"Slower: {task['name']} takes {duration(seconds)} a call on this machine, the LLM {duration(llm_ms / 1000)} "
                "(median of the log)."
            )
        cost = task["cost"]
        if cost["routed_usd"] > cost["llm_only_usd"]:
            out.append(
                f"More expensive: {task['name']} costs {usd(cost['routed_usd'])} with its route, {usd(cost['llm_only_usd'])} without."
            )
        if not task["held_out"]:
            out.append(
                f"Not tried on unseen calls: none was left for {task['name']}; its share is in the costs, and not in the share served."
            )
        if specialist["n_erased"]:
            out.append(
                f"Trained on erased calls: {count(specialist['n_erased'])} of the {count(specialist['n_train'])} examples of "
                f"{task['name']} were erased since. Train it again."
            )
    return out


def trust_summary(report: Json) -> str:
    """How far the routes together can be trusted, in one sentence; "" without a route."""
    total = report["total"]
    if not total["n_routes"] or total["agreement_of_served"] is None:
        return ""
    worst = max(0.0, -total["quality_difference_interval"][0])
    return (
        f"Specialists answer {share(total['share_of_code_calls_served'])} of the unseen calls, {_all_or(total['agreement_of_served'])} "
        f"of these as the LLM did; by these calls alone at most {share(worst, 1)} of all answers change (95 % confidence)."
    )


WRITERS = ("decoder", "self_consistency", "verifier")
"""Kinds of specialists whose answers a language model writes."""


def language_model_summary(report: Json) -> str:
    """The part of the routes that a small language model writes, and what cheaper methods could do there; "" without
    one."""
    total = report["total"]
    routed = [task for task in report["tasks"] if task["certificate"] and task["specialist"]]
    written = [task for task in routed if task["specialist"]["kind"] in WRITERS]
    if not written:
        return ""
    n_calls = sum(task["n_calls"] - task["n_calls_for_people"] for task in written)
    saved = sum(task["cost"]["llm_only_usd"] - task["cost"]["routed_usd"] for task in written)
    cheaper = [method for task in written for method in _cheaper(task)]
    if not cheaper:
        why = "no cheaper method tried can write their answers"
    else:
        most = max(method["validation_coverage"] or 0.0 for method in cheaper)
        why = f"of a task of theirs cheaper methods could serve {share(most)} at most"
    money = f" {usd(saved)} of what is saved is theirs." if saved > 0 else ""
    return (
        f"Small language models write the answers of {len(written)} of {len(routed)} routes, "
        f"{share(n_calls / total['n_code_calls'])} of the calls meant for code: {why}.{money}"
    )


def _cheaper(task: Json) -> list[Json]:
    """The methods trained for a task that come before the chosen one, in order of cost."""
    methods = [method for method in task["methods"] if method["trained"]]
    chosen = next((at for at, method in enumerate(methods) if method["chosen"]), 0)
    return methods[:chosen]


def _all_or(value: float) -> str:
    return "all" if value == 1 else share(value, 1)


CLAIMS = {
    "not_worse_than_llm": "to change at most {} of all answers of this task",
    "not_worse_than_repeats": "to change at most {} more of all answers of this task than the LLM does when asked again",
    "not_worse_on_labels": "to get at most {} more of all answers of this task wrong than the LLM",
    "not_worse_by_judge": "to be judged worse than the LLM in at most {} of all calls of this task",
}
"""Kind of a certificate -> the claim; {} is the loss that it allows."""


def trust(task: Json) -> str:
    """A route in plain words: what is certified, and what it did on unseen calls."""
    certificate, held = task["certificate"], task["held_out"]
    claim = CLAIMS[certificate["kind"]].format(share(certificate["epsilon"]))
    calls, episodes = count(certificate["n_calibration"]), certificate.get("episodes")
    on = (
        f"the {calls} calls of {count(episodes['n_episodes'])} episodes"
        if episodes
        else f"{calls} independent calls"
    )
    promise = f"Certified on {on} {claim} ({share(1 - certificate['delta'])} confidence)."
    if not held:
        return f"{promise} No unseen call was left to try it on."
    agreement = held["agreement_of_served"]
    n_wrong = round(held["n_served"] * (1 - agreement)) if agreement is not None else 0
    n_answered = round(held["share_served"] * held["n_code_calls"])
    said = f"{count(n_wrong)} differed" if n_wrong else "none differed"
    worst = share(max(0.0, held["loss_difference_interval"][1]), 1)
    return (
        f"{promise} Then tried on {count(held['n_code_calls'])} unseen calls: it answered {count(n_answered)}, and {said} from the "
        f"LLM's answer. These calls alone would say: at most {worst}."
    )


def brief_refusal(task: Json) -> str:
    """The reason why a task has no certificate; where episodes are missing, what would pass."""
    found = task["feasibility"]
    if found is None or found["possible"]:
        return str(task["refusal_reason"])
    rounded = _reachable(found)
    reach = f", or --epsilon {rounded:g}" if rounded < 0.5 else ""
    return f"too few episodes. Would pass: {_missing(found)}{reach}"


def _missing(feasibility: Json) -> str:
    """Episodes that are missing, and in which time they come."""
    days = feasibility["days"]
    when = f" (about {math.ceil(days):,} day{'' if days <= 1 else 's'})" if days else ""
    return f"{feasibility['n_more_groups']:,} more{when}"


def _reachable(feasibility: Json) -> float:
    return float(math.ceil(feasibility["smallest_epsilon"] * 1000) / 1000)


def next_steps(report: Json) -> list[NextStep]:
    """The commands that come next, with their ids, the most useful first."""
    return list(_steps(report))[:MOST_STEPS]


def _steps(report: Json) -> Iterator[NextStep]:
    tenant = "" if report["tenant"] in ("default", "*") else f" --tenant {shlex.quote(report['tenant'])}"
    routed = [t for t in report["tasks"] if t["certificate"]]
    if routed:
        first = routed[0]["id"]
        yield NextStep(
            "Run the gateway. It takes the routes up by itself; unless the settings say otherwise each begins in shadow (the "
            "LLM answers, the specialist is compared) and earns its share of the calls.",
            ("deputize serve",),
        )
        yield NextStep(
            "See how far each route is, and what speaks for it.",
            ("deputize route list", *(f"deputize route show {t['id']}" for t in routed[:3])),
        )
        yield NextStep(
            "Give a route calls now, without waiting for its evidence.", (f"deputize route promote {first}",)
        )
        yield NextStep(
            "Stop a route; its calls go to the LLM again at once.", (f"deputize route close {first}",)
        )
    for task in (t for t in report["tasks"] if t["verdict"]["kind"] == "code"):
        yield NextStep(
            f"Write “{task['name']}” as plain code: {task['verdict']['reason']}. Then nothing need be trained for it.",
            (f"deputize tasks hide {task['id']}{tenant}",),
        )
    for task in (t for t in report["tasks"] if t["verdict"]["kind"] == "cache"):
        yield NextStep(f"Put a cache before “{task['name']}”: {task['verdict']['reason']}.")
    left = [t for t in report["tasks"] if t["verdict"]["kind"] == "llm"]
    short = [t for t in left if t["feasibility"] and not t["feasibility"]["possible"]]
    if short:
        nearest = min(short, key=lambda t: (t["feasibility"]["n_more_groups"], t["id"]))
        reachable = _reachable(nearest["feasibility"])
        words = f"Record more episodes: “{nearest['name']}” needs {_missing(nearest['feasibility'])}."
        if reachable < 0.5:
            words += f" Or allow a loss of {share(reachable, 1)}, for which they are enough."
        again = (f"deputize convert --epsilon {reachable:g}{tenant}",) if reachable < 0.5 else ()
        yield NextStep(words, ("deputize status", *again))
    left_out = max(report["source"]["sites"], key=lambda s: int(s["n_human"]), default=None)
    if left_out is not None and left_out["n_human"]:
        yield NextStep(
            f"{count(left_out['n_human'])} replies of {left_out['name']} count as meant for a person and were left out. If code "
            "reads them, say so.",
            (take_in_command(left_out["name"]),),
        )
    if report["tasks"] and not routed and not short:
        yield NextStep(
            "Read why each task was refused, and try methods that take longer.",
            (
                f"deputize report {report['run_id']} --details",
                f"deputize convert --explore --minutes 120{tenant}",
            ),
        )
    if report["tasks"]:
        yield NextStep(
            "Rename, merge, split or hide tasks that were found otherwise than you think of them.",
            (f"deputize tasks list {report['run_id']}",),
        )
