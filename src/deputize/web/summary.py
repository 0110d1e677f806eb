"""Summary of a report as a table in the terminal: on one screen of 80 columns, or with all details."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from deputize.core.records import DEFAULT_TENANT, EVERY_TENANT
from deputize.web.answers import (
    brief_refusal,
    headline,
    language_model_summary,
    next_steps,
    saved_money,
    trust_summary,
    warnings,
)
from deputize.web.figures import (
    count,
    duration,
    leak_words,
    level_words,
    nothing_learned,
    repeats_words,
    served_share,
    share,
    take_in_command,
    units_words,
    usd,
    verdict_words,
)


def brief(report: Mapping[str, Any], max_tasks: int = 12) -> RenderableType:
    """The saving, how far to trust it, a row for each task, other verdicts, and what to do next: for 80 columns."""
    total, tasks = report["total"], report["tasks"]
    cost = total["cost"]
    lines: list[RenderableType] = [
        Text(_headline(report), style="bold"),
        *_sentence(trust_summary(report)),
        *_sentence(language_model_summary(report)),
        Text(""),
    ]
    if tasks:
        lines += [_brief_table(tasks[:max_tasks])]
    if len(tasks) > max_tasks:
        lines.append(Text(f"and {len(tasks) - max_tasks} smaller tasks", style="dim"))
    saved = saved_money(report) if total["n_routes"] else None
    lines += [
        Text(""),
        Text(
            f"{count(report['source']['n_code_calls'])} calls meant for code: {usd(cost['llm_only_usd'])} with the LLM "
            f"alone, {usd(cost['routed_usd'])} with routes."
            + (f" Saves {saved.amount} {saved.words}." if saved else "")
        ),
        *(Text(line, style="yellow") for line in warnings(report)),
        *_leak_tests(tasks, max_tasks, only_leaks=True),
        *_verdicts(tasks[:max_tasks]),
        *_for_people(report["source"]["sites"]),
        *_next(report),
    ]
    return Group(*lines)


def _sentence(words: str) -> list[Text]:
    return [Text(words)] if words else []


def _verdicts(tasks: Sequence[Mapping[str, Any]]) -> list[Text]:
    """The tasks that are better answered by something else than a specialist, with the reason."""
    out: list[Text] = []
    for kind, title, style in (
        ("code", "Better as plain code", "bold cyan"),
        ("cache", "Better from a cache", "bold cyan"),
        ("llm", "Left to the LLM", "bold yellow"),
    ):
        found = [t for t in tasks if t["verdict"]["kind"] == kind]
        if found:
            out += [Text(""), Text(title, style=style)]
            out += [
                Text(f"  {t['name']}: {brief_refusal(t) if kind == 'llm' else t['verdict']['reason']}")
                for t in found
            ]
    return out


def _for_people(sites: Sequence[Mapping[str, Any]]) -> list[Text]:
    """The replies that were left out as meant for a person, in one line with the command that takes them in."""
    found = sorted((s for s in sites if s["n_human"]), key=lambda s: -int(s["n_human"]))
    if not found:
        return []
    return [
        Text(""),
        Text(
            f"{count(sum(s['n_human'] for s in found))} replies at {len(found)} site{'' if len(found) == 1 else 's'} were left "
            f"out as meant for a person. If code reads them: {take_in_command(found[0]['name'])}"
        ),
    ]


def _next(report: Mapping[str, Any]) -> list[Text]:
    """The first commands to go on with."""
    commands = [step.commands[0] for step in next_steps(report) if step.commands]
    return [Text(""), Text(f"Next: {'; '.join(commands[:3])}")] if commands else []


def _brief_table(tasks: Sequence[Mapping[str, Any]]) -> Table:
    """One row per task in 80 columns."""
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1), expand=False)
    table.add_column("task", overflow="ellipsis", no_wrap=True, max_width=30)
    for name in ("calls", "method", "served", "loss at most", "per call"):
        table.add_column(name, justify="left" if name == "method" else "right", no_wrap=True)
    for task in tasks:
        specialist, held = task["specialist"], task["held_out"]
        certified = bool(task["certificate"])
        table.add_row(
            Text(task["name"]),
            count(task["n_calls"]),
            Text(specialist["method"] if specialist else "–"),
            Text(share(served_share(task)), style="green") if certified else Text("LLM", style="yellow"),
            share(max(0.0, held["loss_difference_interval"][1]), 1) if held and certified else "–",
            duration(specialist["seconds_per_call"]) if specialist else "–",
        )
    return table


def render(report: Mapping[str, Any], max_tasks: int = 20) -> RenderableType:
    """All of it: the headline, one row per task (units: expected for calibration, of those needed), costs, the leak
    tests, and why tasks were refused."""
    total, tasks = report["total"], report["tasks"]
    cost = total["cost"]
    lines: list[RenderableType] = [
        Text(_headline(report), style="bold"),
        *_sentence(trust_summary(report)),
        *_sentence(language_model_summary(report)),
        Text(""),
        _table(tasks[:max_tasks]),
    ]
    if report["tenant"] != DEFAULT_TENANT:
        shared = report["tenant"] == EVERY_TENANT
        lines.insert(1, Text("shared by all tenants" if shared else f"tenant {report['tenant']}"))
    if len(tasks) > max_tasks:
        lines.append(Text(f"and {len(tasks) - max_tasks} smaller tasks", style="dim"))
    lines += [
        Text(""),
        Text(
            f"{count(report['source']['n_code_calls'])} calls meant for code: {usd(cost['llm_only_usd'])} with the LLM "
            f"alone, {usd(cost['routed_usd'])} with routes (audits of {share(cost['audit_share'])} of the served calls: "
            f"{usd(cost['audit_usd'])}); training {usd(cost['training_usd'])} and promotion {usd(cost['promotion_usd'])} once."
        ),
        *(
            Text(f"{t['name']}: {level_words(t)}", style="dim")
            for t in tasks[:max_tasks]
            if t["delta_spending"]
        ),
        *(Text(line, style="yellow") for line in warnings(report)),
        *_leak_tests(tasks, max_tasks),
    ]
    lines += [
        Text(f"{t['name']}: {verdict_words(t['verdict']['kind'])}. {repeats_words(t)}", style="dim")
        for t in tasks[:max_tasks]
    ]
    lines += _left_out(report["source"]["sites"])
    refused = [t for t in tasks[:max_tasks] if t["refusal_reason"]]
    if refused:
        lines += [Text(""), Text("Refused", style="bold yellow")]
        lines += [Text(f"  {t['name']}: {t['refusal_reason']}") for t in refused]
    lines += [
        Text(
            f"{'kept' if one['kept'] else 'closed'}: {one['route_id']} ({one['task_name']}): {one['reason']}"
        )
        for one in report["earlier_routes"]
    ]
    return Group(*lines)


def _left_out(sites: Sequence[Mapping[str, Any]]) -> list[RenderableType]:
    """One row per site whose replies count as meant for a person: why, and what takes them in."""
    found = sorted((s for s in sites if s["n_human"]), key=lambda s: -int(s["n_human"]))
    if not found:
        return []
    rows: list[RenderableType] = [Text(""), Text("Left out, as meant for a person", style="bold")]
    for site in found[:_MOST_LEFT_OUT]:
        unsure = f", {count(site['n_unsure'])} of them unsure" if site.get("n_unsure") else ""
        rows.append(Text(f"  {site['name']}: {count(site['n_human'])} calls{unsure}. {site['evidence']}"))
        rows.append(Text(f"    if code reads them: {take_in_command(site['name'])}", style="dim"))
    if len(found) > _MOST_LEFT_OUT:
        rows.append(Text(f"  and {len(found) - _MOST_LEFT_OUT} more sites", style="dim"))
    return rows


_MOST_LEFT_OUT = 5


def _table(tasks: Sequence[Mapping[str, Any]]) -> Table:
    """One row per task."""
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1))
    for name in (
        "task",
        "calls",
        "specialist",
        "majority",
        "base",
        "tuned",
        "served",
        "loss",
        "per call",
        "units",
    ):
        is_text = name in ("task", "specialist")
        table.add_column(
            name,
            justify="left" if is_text else "right",
            no_wrap=not is_text,
            overflow="ellipsis",
            max_width=34,
        )
    for task in tasks:
        specialist, test, held = task["specialist"], task["test"] or {}, task["held_out"]
        table.add_row(
            Text(task["name"]),
            count(task["n_calls"]),
            Text(f"{specialist['method']} ({specialist['model']})") if specialist else "–",
            share(test.get("majority_accuracy")),
            share(test.get("base_accuracy")),
            share(test.get("tuned_accuracy")),
            Text(share(served_share(task)), style="green")
            if task["certificate"]
            else Text("LLM", style="yellow"),
            share(held["loss_difference"], 1) if held else "–",
            duration(specialist["seconds_per_call"]) if specialist else "–",
            units_words(task["feasibility"]),
        )
    return table


def _leak_tests(
    tasks: Sequence[Mapping[str, Any]], max_lines: int, *, only_leaks: bool = False
) -> list[Text]:
    """The leak tests of all specialists in one line, then one line for each, or for each that leaks; nothing where none
    was tested."""
    tested = [(t["name"], test) for t in tasks for test in t.get("leak_tests", ())]
    if not tested:
        return []
    n_safe = sum(not test["leaks"] for _, test in tested)
    n_planted = sum(test["n_planted"] for _, test in tested)
    return [
        Text(
            f"Leak test: {n_safe} of {len(tested)} specialists give away none of {n_planted} planted secrets"
        ),
        *(
            Text(f"  {name}, {leak_words(test)}", "yellow" if test["leaks"] else "dim")
            for name, test in tested[:max_lines]
            if test["leaks"] or not only_leaks
        ),
    ]


def _headline(report: Mapping[str, Any]) -> str:
    nothing = nothing_learned(report)
    if nothing and _left_out(report["source"]["sites"]):
        return f"{nothing} Below stands what was left out, and how to take it in."
    if not nothing and report["nothing_trained_reason"]:
        return str(report["nothing_trained_reason"])
    return headline(report) + ("" if nothing else ".")
