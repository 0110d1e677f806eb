"""Plots keep inside their frame, have titles on both axes, and say what they show."""

from __future__ import annotations

import re
from typing import Any

from markupsafe import Markup

from deputize.web import plots

CURVE = [
    {"share_served": s, "loss": 0.9 * s, "loss_low": 0.0, "loss_high": 1.0, "threshold": 1 - s}
    for s in (0.0, 0.5, 1.0)
]
BANDS = [
    {"mean_confidence": 0.4, "n_calls": 10, "n_agreed": 3},
    {"mean_confidence": 0.95, "n_calls": 40, "n_agreed": 39},
]
PERIODS = [{"start_s": 86_400.0 * i, "n_code": i, "n_human": 2 * i} for i in range(8)]
TASKS: list[dict[str, Any]] = [
    {
        "name": "a <b>",
        "n_calls": 40,
        "share_of_cost": 0.3,
        "verdict": {"kind": "code"},
        "test": {"tuned_accuracy": 0.9},
    },
    {"name": "c", "n_calls": 900, "share_of_cost": 0.4, "verdict": {"kind": "llm"}, "test": None},
    {
        "name": "d",
        "n_calls": 900,
        "share_of_cost": 0.2,
        "verdict": {"kind": "llm"},
        "test": {"tuned_accuracy": 0.6},
    },
    {
        "name": "e",
        "n_calls": 905,
        "share_of_cost": 0.1,
        "verdict": {"kind": "llm"},
        "test": {"tuned_accuracy": 0.6},
    },
]


def drawn() -> dict[str, Markup]:
    losses = [{"epoch": i, "train": 2 / i, "validation": 2.1 / i} for i in (1, 2, 3)]
    return {
        "curve": plots.quality_curve(CURVE, 0.02, (1.0, 0.9), 'a "name"'),
        "confidence": plots.confidence_plot(BANDS, 0.6, "bands"),
        "losses": plots.loss_plot(losses, "losses"),
        "calls": plots.calls_plot(PERIODS, "calls"),
        "map": plots.task_map(TASKS, "map"),
    }


def test_plots_keep_inside_their_frame_and_name_both_axes() -> None:
    for name, svg in drawn().items():
        width = int(re.findall(r'viewBox="0 0 (\d+)', svg)[0])
        for letter, most in (("x", width), ("y", plots.HEIGHT)):
            places = [float(v) for v in re.findall(rf' c?{letter}\d?="(-?[\d.]+)"', svg)]
            assert places and all(0 <= v <= most for v in places), name
        assert svg.count('class="axis"') == 2, name
        assert "nan" not in svg and svg.count("<svg") == svg.count("</svg>") == 1


def test_what_is_shown_is_escaped_and_named() -> None:
    svg = drawn()
    assert "a &#34;name&#34;" in svg["curve"] and "certified" in svg["curve"]
    assert "allowed: 2 %" in svg["curve"] and "answers from here" in svg["confidence"]
    assert "a &lt;b&gt;" in svg["map"] and ">2</text>" not in svg["map"], (
        "nothing was tried for the second task"
    )
    assert ">1</text>" in svg["map"] and ">3, 4</text>" in svg["map"], "two in one place are one bubble"
    assert "calls in 1 days" in svg["calls"] and svg["calls"].count('class="code"') == 8


def test_where_there_is_nothing_there_is_no_plot() -> None:
    assert plots.quality_curve([], 0.02, None, "") == plots.confidence_plot([], None, "") == ""
    assert plots.loss_plot([{"epoch": 1, "train": 1.0, "validation": 1.0}], "") == ""
    assert plots.calls_plot([], "") == plots.task_map(TASKS[:2], "") == ""
