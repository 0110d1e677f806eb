"""The two networks together: when the encoder is asked, and what holds then."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from deputize.privacy.tagger.default.numpy_network import LineScores
from deputize.privacy.tagger.default.two_stages import (
    FIRST_SHARE,
    FIRST_SHARE_WHOLE,
    TwoStages,
    mixed,
)
from deputize.privacy.tagger.default.words import words_of

ASKED_FROM = 0.03


def of_both(first: float, share: float) -> float:
    """What is given for a word of which the encoder says one half."""
    return float(mixed(np.array(first), np.array(0.5), share))


MIA, SURE = of_both(0.1, FIRST_SHARE), of_both(0.999, FIRST_SHARE)
SURE_WHOLE, NONE_WHOLE = of_both(0.999, FIRST_SHARE_WHOLE), of_both(0.0, FIRST_SHARE_WHOLE)


class Proposer:
    """Gives each word the probability that a table has for it."""

    def __init__(self, chances: dict[str, float]) -> None:
        self.chances = chances

    def scores(self, lines: Sequence[str]) -> list[LineScores]:
        out = []
        for line in lines:
            words = words_of(line)
            found = [[self.chances.get(line[a:b], 0.0), 0.9] for a, b in words]
            out.append((words, np.array(found, dtype=np.float32).reshape(-1, 2)))
        return out


class Decider:
    """Says one half of every word and keeps what it was shown."""

    def __init__(self) -> None:
        self.shown: list[tuple[str, list[bool]]] = []

    def probabilities(
        self, lines: Sequence[str], words: Sequence[object], asked: Sequence[np.ndarray]
    ) -> list[np.ndarray]:
        self.shown = [(line, of_line.tolist()) for line, of_line in zip(lines, asked, strict=True)]
        return [np.where(of_line[:, None], 0.5, 0.0).repeat(2, axis=1) for of_line in asked]


@pytest.mark.parametrize(
    ("line", "asked", "wanted"),
    [
        ("ask mia", [False, True], [0, MIA]),
        ("ask Sure", None, [0, 0.999]),
        ("mia Sure", [True, True], [MIA, SURE]),
        ("Sure İstanbul", [True, True], [SURE_WHOLE, NONE_WHOLE]),
        ("Sure 東", [True, True], [SURE_WHOLE, NONE_WHOLE]),
        ("slight", None, [0.02]),
        ("slight 東", [True, True], [of_both(0.02, FIRST_SHARE_WHOLE), NONE_WHOLE]),
        ("nobody here", None, [0, 0]),
        ("", None, []),
    ],
)
def test_the_encoder_decides_where_the_other_is_not_sure(
    line: str, asked: list[bool] | None, wanted: list[float]
) -> None:
    decider = Decider()
    network = TwoStages(Proposer({"mia": 0.1, "Sure": 0.999, "slight": 0.02}), decider, ASKED_FROM)  # type: ignore[arg-type]
    ((words, found),) = network.scores([line], [0])
    assert decider.shown == ([] if asked is None else [(line, asked)])
    assert len(words) == len(wanted) and found[:, 0].tolist() == pytest.approx(wanted, abs=5e-3)


def test_the_weight_of_the_first_is_that_of_its_log_odds() -> None:
    first, second = np.array([0.9, 0.0]), np.array([0.1, 0.5])
    assert mixed(first, second, 0.5).tolist() == pytest.approx([0.5, 0.001], abs=1e-3)
    assert mixed(first, second, 0.25)[0] == pytest.approx(0.25, abs=1e-3)


def test_a_type_that_is_not_wanted_is_not_asked_about() -> None:
    decider = Decider()
    network = TwoStages(Proposer({}), decider, ASKED_FROM)  # type: ignore[arg-type]
    network.scores(["ask Mia"], [0])
    assert not decider.shown
    network.scores(["ask Mia"], [0, 1])
    assert decider.shown == [("ask Mia", [True, True])]
