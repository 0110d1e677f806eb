"""How a certificate was tested on whole episodes (scoring.episode_bets)."""

from __future__ import annotations

import msgspec


class EpisodeBet(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A test on whole episodes instead of one call of each: what was fixed before the answers of calibration were
    seen."""

    stake: float
    """Part of the largest stake that cannot go broke."""
    start: float
    """The threshold at which the walk begins."""
    largest: int
    """Calls that an episode has at most."""
    n_episodes: int = 0
    """Episodes that were tested; their calls are the units."""
    not_evaluated: list[int] = msgspec.field(default_factory=list)
    """For each call that was not evaluated within the time budget the number of its episode: it counts as served and
    wrong."""
