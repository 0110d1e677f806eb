"""Heads over states: every question apart, choices nobody made never chosen, the penalty by groups held out."""

from __future__ import annotations

import numpy as np

from deputize.specialists.state_heads import scores_of
from deputize.stages.finetune.fit_heads import HeadExamples, best_strength, fit_heads


def clouds(n: int, n_choices: int, noise: float, seed: int = 0) -> tuple[HeadExamples, list[int]]:
    """Texts of choices in well separated clouds of states, the last of which never varies."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(n_choices, 12)) * 3
    labels = rng.integers(n_choices, size=n)
    states = (centres[labels] + rng.normal(size=(n, 12)) * noise + 100).astype(np.float32)
    states[:, -1] = 7.0
    targets: list[list[int] | None] = [[int(c)] for c in labels]
    return HeadExamples(states, targets, np.ones(n), np.arange(n)), labels.tolist()


def test_heads_tell_clouds_apart_and_never_give_what_was_never_answered() -> None:
    examples, labels = clouds(300, 5, 0.5)
    (log_p_NC,) = scores_of(fit_heads(examples, [7], 0.1), examples.states_NS)
    assert (log_p_NC.argmax(1) == labels).mean() > 0.98
    assert log_p_NC[:, 5:].max() < -15, "choices 5 and 6 were never made"


def test_questions_are_fitted_apart_and_only_where_they_were_asked() -> None:
    examples, labels = clouds(300, 2, 0.5)
    # the second question is asked of choice 0 only, and always answered alike; the third never
    targets: list[list[int] | None] = [[c, 1 if c == 0 else -1, -1] for c in labels]
    targets[0] = None
    first, second, third = scores_of(
        fit_heads(examples._replace(targets=targets), [2, 3, 2], 0.1), examples.states_NS
    )
    assert (first.argmax(1) == labels).mean() > 0.98
    assert (second.argmax(1) == 1).all() and np.isfinite(third).all()


def test_weights_count() -> None:
    examples, _ = clouds(200, 2, 30.0)
    heavy = np.where([t == [1] for t in examples.targets], 50.0, 1.0)
    (plain,) = scores_of(fit_heads(examples, [2], 0.01), examples.states_NS)
    (weighed,) = scores_of(fit_heads(examples._replace(weights_N=heavy), [2], 0.01), examples.states_NS)
    assert (weighed.argmax(1) == 1).mean() > (plain.argmax(1) == 1).mean() + 0.1


def test_noisy_states_get_a_strong_penalty_and_clear_ones_a_weak_one() -> None:
    strengths = (0.0003, 0.03, 3.0)
    noisy, clear = clouds(250, 4, 20.0)[0], clouds(250, 4, 0.2)[0]
    assert best_strength(noisy, [4], strengths) < best_strength(clear, [4], strengths) == strengths[-1]
    one_group = clear._replace(group_N=np.zeros(250, dtype=np.int64))
    assert best_strength(one_group, [4], strengths) == strengths[1], "nothing can be held out"
