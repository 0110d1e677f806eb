"""report.json and report.html in a run's folder: one self-contained page, no script, readable in light and dark."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2

from deputize.files import make_folder, write_atomic
from deputize.web import figures


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
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("deputize.web", "templates"),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters.update(
        share=figures.share,
        take_in_command=figures.take_in_command,
        points=figures.points,
        usd=figures.usd,
        count=figures.count,
        span=figures.span,
        duration=figures.duration,
        ms=figures.milliseconds,
        leak_words=figures.leak_words,
        level_words=figures.level_words,
        nothing_learned=figures.nothing_learned,
        validity=figures.validity,
        day=figures.day,
        certificate_kind=figures.certificate_kind,
    )
    return environment.get_template("report.html.j2").render(
        r=report,
        total=report["total"],
        quality_curve=_curve_of(report),
        served_bars=figures.served_bars,
        served_share=figures.served_share,
        site_bars=figures.site_bars,
    )


def _curve_of(report: Mapping[str, Any]) -> Any:
    def draw(task: Mapping[str, Any]) -> str:
        held = task["held_out"]
        chosen = (held["share_served"], max(0.0, held["loss_difference"])) if held else None
        label = f"Loss against share served for {task['name']}, held-out calls"
        return figures.quality_curve(task.get("curve", []), report["epsilon"], chosen, label)

    return draw
