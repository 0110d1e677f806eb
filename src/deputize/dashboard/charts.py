"""The chart of the live page as inline SVG, without a style in it: colours and sizes come from the page's CSS."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from deputize.dashboard.call_index import Minute

_HEIGHT = 100


def minute_bars(minutes: Sequence[Minute]) -> Markup:
    """Calls a minute, one bar each: those of specialists below, those of the LLM above."""
    top = most_in_a_minute(minutes)
    bars = []
    for i, minute in enumerate(minutes):
        y = float(_HEIGHT)
        for kind, n in (("slm", minute.n_specialist), ("llm", minute.n_llm)):
            if n:
                height = _HEIGHT * n / top
                y -= height
                bars.append(
                    f'<rect class="{kind}" x="{i + 0.1:.1f}" y="{y:.2f}" width="0.8" height="{height:.2f}"/>'
                )
    n_specialist, n_llm = sum(m.n_specialist for m in minutes), sum(m.n_llm for m in minutes)
    label = (
        f"Calls in each of the last {len(minutes)} minutes: {n_specialist:,} by specialists and {n_llm:,} by the LLM, "
        f"at most {top:,} in one minute."
    )
    return Markup(
        f'<svg class="minutes" viewBox="0 0 {len(minutes)} {_HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="{Markup.escape(label)}">{"".join(bars)}</svg>'
    )


def most_in_a_minute(minutes: Sequence[Minute]) -> int:
    """The tallest bar; at least 1."""
    return max([1, *(m.n_specialist + m.n_llm for m in minutes)])
