"""The search for a learning rate: what is tried, within which time, and what is taken."""

from __future__ import annotations

import pytest

from deputize.stages.finetune.settings_search import MOST_EXAMPLES, Trial, part_of, searched
from deputize.stages.finetune.trainer import TrainingSettings


class Clock:
    """Seconds that trials take."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def trial(self, scores: dict[float, float | None], takes_s: float = 1.0) -> Trial:
        def run(settings: TrainingSettings, seconds: float) -> float | None:
            assert settings.epochs == 1 and seconds > 0
            self.now += takes_s
            return next((s for rate, s in scores.items() if rate == pytest.approx(settings.lr)), None)

        return run


def test_the_best_of_three_is_taken_and_all_are_listed() -> None:
    clock = Clock()
    found = searched(
        TrainingSettings(lr=1e-3), clock.trial({1e-3: -0.5, 3e-4: -0.9, 3e-3: -0.2}), 30.0, clock
    )
    assert found.lr == pytest.approx(3e-3) and found.epochs == TrainingSettings().epochs
    assert [score for _, score in found.searched] == [-0.5, -0.9, -0.2]


@pytest.mark.parametrize(
    ("scores", "budget_s", "n_tried"),
    [
        ({1e-3: -0.5, 3e-4: -0.5, 3e-3: -0.5}, 30.0, 3),  # equals
        ({1e-3: -0.5, 3e-4: -0.1}, 1.5, 1),  # no time for a second
        ({1e-3: None}, 30.0, 0),  # no time for one
        ({1e-3: -0.5, 3e-4: -0.1, 3e-3: -0.2}, 0.0, 0),
    ],
)
def test_the_usual_rate_stays_where_none_is_better_or_time_is_short(
    scores: dict[float, float | None], budget_s: float, n_tried: int
) -> None:
    clock = Clock()
    found = searched(TrainingSettings(lr=1e-3), clock.trial(scores), budget_s, clock)
    assert found.lr == 1e-3 and len(found.searched) == n_tried


def test_trials_see_a_part_of_train_that_is_spread_over_it() -> None:
    assert part_of(range(50)) == list(range(50))
    some = part_of(range(1000))
    assert len(some) <= MOST_EXAMPLES and some[0] == 0 and some[-1] > 900
