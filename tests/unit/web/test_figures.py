"""Numbers read well, and plots keep inside their frame."""

from __future__ import annotations

import re
from typing import get_args

from deputize.scoring.certificates import CertificateKind
from deputize.web import figures


def test_guesses_read_well() -> None:
    said = [figures.guesses(bits) for bits in (0, 9.9, 10, 20, 29.9, 41.4)]
    assert said == ["1", "955", "1 thousand", "1 million", "1 billion", "2.9 trillion"]


def test_numbers_read_well() -> None:
    assert [figures.share(x) for x in (0, 1, 0.5, 0.004, 0.9966, None)] == [
        "0 %",
        "100 %",
        "50 %",
        "0.4 %",
        "99.7 %",
        "–",
    ]
    assert [figures.usd(x) for x in (0, 1234.5, 0.0123, 0.0000012)] == [
        "$0",
        "$1,234.50",
        "$0.012",
        "$1.2e-06",
    ]
    assert [figures.duration(x) for x in (300, 12.34, 0.25, 0.0004)] == [
        "5.0 min",
        "12.3 s",
        "250 ms",
        "0.4 ms",
    ]
    assert (figures.points(-0.004), figures.points(0.0)) == ("-0.4 pp", "±0.0 pp")


def test_plots_keep_inside_their_frame() -> None:
    rows = [
        {"share_served": s, "loss": 0.9 * s, "loss_low": 0.0, "loss_high": 1.0, "threshold": 1 - s}
        for s in (0.0, 0.5, 1.0)
    ]
    svg = figures.quality_curve(rows, 0.02, (1.0, 0.9), 'a "name"')
    numbers = [float(y) for y in re.findall(r'c?y\d?="([\d.]+)"', svg)]
    assert all(0 <= y <= figures.HEIGHT for y in numbers)
    assert "a &#34;name&#34;" in svg
    assert figures.quality_curve([], 0.02, None, "") == "" and figures.served_bars([]) == ""


def test_every_kind_of_certificate_has_words() -> None:
    for kind in get_args(CertificateKind):
        assert "_" not in figures.certificate_kind(kind)


def test_a_bar_is_as_long_as_its_share_and_filled_as_far_as_it_is_served() -> None:
    task = {"certificate": {"share_served": 0.4}, "held_out": None}
    bars = figures.served_bars(
        [
            {**task, "name": "<b>", "share_of_calls": 0.5},
            {"name": "chat", "share_of_calls": 0.25, "certificate": None},
        ]
    )
    assert re.findall(r"width:([\d.]+)%", bars) == ["100.0", "40.0", "50.0", "0.0"]
    assert "&lt;b&gt;" in bars and "25 % of calls, LLM only" in bars
