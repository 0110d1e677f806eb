"""The plots of the report as inline SVG, every one with titled axes; colours come from the page's CSS."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup

WIDTH, HEIGHT = 360, 236
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 14, 44
Tick = tuple[float, str]


class Axes(NamedTuple):
    """A frame from (x_low, y_low) to (x_top, y_top) in the units of what is shown."""

    label: str
    """Said by a screen reader."""
    x_title: str
    y_title: str
    x_ticks: Sequence[Tick]
    """Positions and their texts, from low to high; the first and last are the ends of the axis."""
    y_ticks: Sequence[Tick]
    width: int = WIDTH

    def x(self, value: float) -> float:
        """The place of a value from left to right; what is outside is at the edge."""
        low, top = self.x_ticks[0][0], self.x_ticks[-1][0]
        part = (min(max(value, low), top) - low) / (top - low)
        return round(LEFT + part * (self.width - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        """The place of a value from top to bottom."""
        low, top = self.y_ticks[0][0], self.y_ticks[-1][0]
        part = (min(max(value, low), top) - low) / (top - low)
        return round(HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM), 1)

    def drawn(self, marks: Iterable[str]) -> Markup:
        """The whole plot.

        Args:
            marks: SVG elements, placed by `x` and `y`; texts in them are escaped already.
        """
        middle_x, middle_y = (LEFT + self.width - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2
        parts = [
            f'<svg class="plot" viewBox="0 0 {self.width} {HEIGHT}" role="img" aria-label="{Markup.escape(self.label)}">',
            *(
                f'<line class="grid" x1="{LEFT}" x2="{self.width - RIGHT}" y1="{self.y(at)}" y2="{self.y(at)}"/>'
                f'<text class="tick" x="{LEFT - 6}" y="{self.y(at) + 3.5}" text-anchor="end">{Markup.escape(text)}</text>'
                for at, text in self.y_ticks
            ),
            *(
                f'<text class="tick" x="{self.x(at)}" y="{HEIGHT - BOTTOM + 15}" text-anchor="'
                f'{"end" if at == self.x_ticks[-1][0] else "middle"}">{Markup.escape(text)}</text>'
                for at, text in self.x_ticks
            ),
            f'<text class="axis" x="{middle_x}" y="{HEIGHT - 8}" text-anchor="middle">{Markup.escape(self.x_title)}</text>',
            f'<text class="axis" x="13" y="{middle_y}" text-anchor="middle" transform="rotate(-90 13 {middle_y})">'
            f"{Markup.escape(self.y_title)}</text>",
            *marks,
            "</svg>",
        ]
        return Markup("".join(parts))


def _percent(values: Iterable[float]) -> list[Tick]:
    return [(value, f"{100 * value:g} %") for value in values]


def _round_marks(top: float) -> list[float]:
    """Three to five round marks from 0 to at least `top`."""
    if top <= 0:
        return [0.0, 1.0]
    size = 10.0 ** math.floor(math.log10(top))
    step = next(s * size for s in (0.25, 0.5, 1.0, 2.0, 2.5) if top / (s * size) <= 4.2)
    n = max(1, math.ceil(top / step - 1e-9))
    return [round(i * step, 10) for i in range(n + 1)]


QUARTERS = (0.0, 0.25, 0.5, 0.75, 1.0)


def quality_curve(
    curve: Sequence[Mapping[str, float]], epsilon: float, chosen: tuple[float, float] | None, label: str
) -> Markup:
    """Loss against share served, with its interval, the allowed loss and the certified point.

    Args:
        curve: rows of share_served, loss, loss_low, loss_high.
        epsilon: the loss asked for, drawn as a dashed line.
        chosen: (share served, loss) of the route on held-out calls; None where none was certified.
        label: for a screen reader.
    """
    rows = sorted(curve, key=lambda r: r["share_served"])
    if not rows:
        return Markup("")
    tops = [min(r["loss_high"], 1.6 * r["loss"] + epsilon) for r in rows]
    axes = Axes(
        label,
        "share of calls the specialist answers",
        "answers changed, of all calls",
        _percent(QUARTERS),
        _percent(_round_marks(min(1.0, max([*tops, 2 * epsilon])))),
    )
    line = " ".join(f"{axes.x(r['share_served'])},{axes.y(r['loss'])}" for r in rows)
    upper = [f"{axes.x(r['share_served'])},{axes.y(r['loss_high'])}" for r in rows]
    lower = [f"{axes.x(r['share_served'])},{axes.y(r['loss_low'])}" for r in reversed(rows)]
    limit = axes.y(epsilon)
    marks = [
        f'<polygon class="band" points="{" ".join([*upper, *lower])}"/>',
        f'<polyline class="line" points="{line}"/>',
        f'<line class="limit" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{limit}" y2="{limit}"/>',
        f'<text class="limit-name" x="{LEFT + 4}" y="{limit - 4}">allowed: {100 * epsilon:g} %</text>',
    ]
    if chosen is not None:
        x, y = axes.x(chosen[0]), axes.y(chosen[1])
        anchor, at = ("end", x - 8) if chosen[0] > 0.6 else ("start", x + 8)
        marks += [
            f'<line class="drop" x1="{x}" x2="{x}" y1="{y}" y2="{HEIGHT - BOTTOM}"/>',
            f'<circle class="chosen" cx="{x}" cy="{y}" r="5"/>',
            f'<text class="chosen-name" x="{at}" y="{y - 7}" text-anchor="{anchor}">certified</text>',
        ]
    return axes.drawn(marks)


def confidence_plot(bands: Sequence[Mapping[str, Any]], threshold: float | None, label: str) -> Markup:
    """Agreement with the LLM by confidence: points on the diagonal are as right as they claim to be.

    Args:
        bands: rows of mean_confidence, n_calls, n_agreed.
        threshold: the confidence from which the specialist answers; None: it does not.
        label: for a screen reader.
    """
    if not bands:
        return Markup("")
    axes = Axes(
        label, "confidence of the specialist", "the LLM's answer", _percent(QUARTERS), _percent(QUARTERS)
    )
    most = max(band["n_calls"] for band in bands)
    marks = [
        f'<line class="diagonal" x1="{axes.x(0)}" y1="{axes.y(0)}" x2="{axes.x(1)}" y2="{axes.y(1)}"/>',
        f'<text class="tick" x="{axes.x(0.08)}" y="{axes.y(0.2)}">as right as it says</text>',
    ]
    if threshold is not None:
        x = axes.x(threshold)
        anchor, at = ("end", x - 4) if threshold > 0.4 else ("start", x + 4)
        marks += [
            f'<line class="limit" x1="{x}" x2="{x}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>',
            f'<text class="limit-name" x="{at}" y="{HEIGHT - BOTTOM - 6}" text-anchor="{anchor}">answers from here</text>',
        ]
    for band in bands:
        share = band["n_agreed"] / band["n_calls"]
        size = 3 + 5 * math.sqrt(band["n_calls"] / most)
        marks.append(
            f'<circle class="point" cx="{axes.x(band["mean_confidence"])}" cy="{axes.y(share)}" r="{size:.1f}">'
            f"<title>{band['n_agreed']} of {band['n_calls']}</title></circle>"
        )
    return axes.drawn(marks)


def loss_plot(losses: Sequence[Mapping[str, float]], label: str) -> Markup:
    """Losses of a training by pass over the examples.

    Args:
        losses: rows of epoch, train, validation.
        label: for a screen reader.
    """
    if len(losses) < 2:
        return Markup("")
    tops = _round_marks(max(max(row["train"], row["validation"]) for row in losses))
    epochs = [row["epoch"] for row in losses]
    axes = Axes(
        label,
        "pass over the training examples",
        "loss per token",
        [(epoch, f"{epoch:g}") for epoch in epochs],
        [(top, f"{top:g}") for top in tops],
    )
    marks = []
    for name in ("train", "validation"):
        points = " ".join(f"{axes.x(row['epoch'])},{axes.y(row[name])}" for row in losses)
        marks.append(f'<polyline class="line {name}" points="{points}"/>')
    return axes.drawn(marks)


def calls_plot(periods: Sequence[Mapping[str, Any]], label: str) -> Markup:
    """Calls over the time of the log, those meant for code at the bottom of each bar."""
    if len(periods) < 2:
        return Markup("")
    width = 3 * WIDTH
    length = periods[1]["start_s"] - periods[0]["start_s"]
    first, end = periods[0]["start_s"], periods[-1]["start_s"] + length
    most = max(period["n_code"] + period["n_human"] for period in periods)
    form = "%d %b" if end - first > 3 * 86_400 else "%d %b, %H:%M" if end - first > 1_800 else "%H:%M:%S"
    axes = Axes(
        label,
        "time, UTC",
        f"calls in {_length_words(length)}",
        [
            (at, time.strftime(form, time.gmtime(at)))
            for at in (first + part * (end - first) for part in (0, 1 / 3, 2 / 3, 1))
        ],
        [(mark, f"{mark:g}") for mark in _round_marks(most)],
        width,
    )
    marks = []
    for period in periods:
        x, wide = axes.x(period["start_s"]), (width - LEFT - RIGHT) / len(periods) - 1.5
        code, both = axes.y(period["n_code"]), axes.y(period["n_code"] + period["n_human"])
        marks += [
            f'<rect class="human" x="{x}" y="{both}" width="{wide:.1f}" height="{code - both:.1f}"/>',
            f'<rect class="code" x="{x}" y="{code}" width="{wide:.1f}" height="{HEIGHT - BOTTOM - code:.1f}"/>',
        ]
    return axes.drawn(marks)


def _length_words(seconds: float) -> str:
    for size, unit in ((86_400.0, "days"), (3_600.0, "hours"), (60.0, "minutes")):
        if seconds >= size:
            return f"{seconds / size:.2g} {unit}"
    return f"{seconds:.2g} seconds"


def task_map(tasks: Sequence[Mapping[str, Any]], label: str) -> Markup:
    """Tasks by their calls and by how often the best specialist gives the LLM's answer; the area is the LLM's cost.

    Args:
        tasks: of the report, in its order; only those of which held-out calls were evaluated are placed, and nothing is
            drawn of one.
        label: for a screen reader.
    """
    placed = [(n, t) for n, t in enumerate(tasks, 1) if t["test"] and t["test"]["tuned_accuracy"] is not None]
    if len(placed) < 2:
        return Markup("")
    low = math.floor(math.log10(max(1, min(t["n_calls"] for _, t in placed))))
    top = max(low + 1, math.ceil(math.log10(max(2, *(t["n_calls"] for _, t in placed)))))
    worst = min(3, int(4 * min(t["test"]["tuned_accuracy"] for _, t in placed)))
    axes = Axes(
        label,
        "calls in the log",
        "the LLM's answer, unseen calls",
        [(at, f"{10**at:,}") for at in range(low, top + 1)],
        _percent(QUARTERS[worst:]),
        2 * WIDTH,
    )
    largest = max(t["share_of_cost"] for _, t in placed) or 1.0
    bubbles: dict[tuple[int, int], list[tuple[int, Mapping[str, Any]]]] = {}
    for n, task in placed:  # tasks in one place are one bubble with all their numbers
        x, y = axes.x(math.log10(max(1, task["n_calls"]))), axes.y(task["test"]["tuned_accuracy"])
        bubbles.setdefault((round(x / 16), round(y / 16)), []).append((n, task))
    marks = []
    for held in sorted(bubbles.values(), key=lambda one: -max(float(t["share_of_cost"]) for _, t in one)):
        first = max((t for _, t in held), key=lambda t: float(t["share_of_cost"]))
        x, y = axes.x(math.log10(max(1, first["n_calls"]))), axes.y(first["test"]["tuned_accuracy"])
        size = 7 + 13 * math.sqrt(first["share_of_cost"] / largest)
        names = Markup.escape("; ".join(t["name"] for _, t in held))
        numbers = ", ".join(str(n) for n, _ in held)
        kind = first["verdict"]["kind"]
        marks += [
            f'<circle class="task by-{kind}" cx="{x}" cy="{y}" r="{size:.1f}"><title>{names}</title></circle>',
            f'<text class="task-name" x="{x + size + 4:.1f}" y="{y + 4}">{numbers}</text>'
            if len(held) > 1
            else f'<text class="task-name in-{kind}" x="{x}" y="{y + 4}" text-anchor="middle">{numbers}</text>',
        ]
    return axes.drawn(marks)
