"""report.json and report.html in a run's folder: one self-contained page, no script, readable in light and dark."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from markupsafe import Markup

from deputize.core.config import Convert
from deputize.files import make_folder, write_atomic
from deputize.web import answers, figures, plots
from deputize.web.html_templates import html_templates


def write_report(folder: Path, report: Mapping[str, Any]) -> Path:
    """Writes both files, each as a whole or not at all. Returns the path of report.html."""
    make_folder(folder)
    write_atomic(
        folder / "report.json", json.dumps(report, ensure_ascii=False, indent=1, allow_nan=False).encode()
    )
    page = folder / "report.html"
    write_atomic(page, render(report).encode())
    return page


def render(report: Mapping[str, Any]) -> str:
    """The page of a report.json document."""
    environment = html_templates("deputize.web")
    environment.filters.update(
        at_most=figures.at_most,
        certificate_kind=figures.certificate_kind,
        count=figures.count,
        day=figures.day,
        duration=figures.duration,
        energy=figures.energy,
        leak_words=figures.leak_words,
        level_words=figures.level_words,
        mass=figures.mass,
        method=figures.method_words,
        ms=figures.milliseconds,
        repeats=figures.repeats_words,
        share=figures.share,
        span=figures.span,
        take_in_command=figures.take_in_command,
        trust=answers.trust,
        usd=figures.usd,
        validity=figures.validity,
        verdict=figures.verdict_words,
    )
    page = environment.get_template("report.html.j2").render(
        r=report,
        total=report["total"],
        answers={
            "headline": answers.headline(report),
            "money": answers.saved_money(report),
            "energy": answers.saved_energy(report),
            "trust": answers.trust_summary(report),
            "language_models": answers.language_model_summary(report),
            "warnings": answers.warnings(report),
            "steps": answers.next_steps(report),
        },
        settings=_chosen_settings(report["settings"]),
        served_share=figures.served_share,
        bars={"served": figures.served_bars, "cost": figures.cost_bars, "site": figures.site_bars},
        plots=_plots(report),
    )
    return page.replace(" %", "\u00a0%")  # no line begins with a sign


def _plots(report: Mapping[str, Any]) -> dict[str, Callable[..., Markup]]:
    """Name -> what draws it: of a task, or of the whole report."""

    def curve(task: Mapping[str, Any]) -> Markup:
        held = task["held_out"]
        chosen = (held["share_served"], max(0.0, held["loss_difference"])) if held else None
        label = f"Answers changed against share served for {task['name']}, unseen calls"
        return plots.quality_curve(task["curve"], report["epsilon"], chosen, label)

    def confidence(task: Mapping[str, Any]) -> Markup:
        threshold = task["certificate"]["threshold"] if task["certificate"] else None
        label = f"Agreement with the LLM by confidence for {task['name']}, unseen calls"
        return plots.confidence_plot(task["by_confidence"], threshold, label)

    def losses(task: Mapping[str, Any]) -> Markup:
        rows = task["specialist"]["losses"] if task["specialist"] else []
        return plots.loss_plot(rows, f"Losses of the training for {task['name']}")

    return {
        "curve": curve,
        "confidence": confidence,
        "losses": losses,
        "calls": lambda: plots.calls_plot(report["source"]["by_time"], "Calls over the time of the log"),
        "map": lambda: plots.task_map(report["tasks"], "Tasks by calls and agreement with the LLM"),
    }


def _chosen_settings(settings: Mapping[str, str]) -> dict[str, str]:
    """The settings that differ from their defaults, and those that a reader always asks for."""
    always = ("epsilon", "delta", "seed", "minutes", "methods", "models")
    usual = {name: json.dumps(value) for name, value in Convert().model_dump(mode="json").items()}
    return {name: value for name, value in settings.items() if name in always or usual.get(name) != value}
