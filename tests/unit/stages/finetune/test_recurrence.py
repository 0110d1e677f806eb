"""In how many examples of an episode its own words stand."""

from __future__ import annotations

from deputize.stages.finetune.recurrence import MOST_EPISODES, recurrence


def test_one_example_an_episode_is_once() -> None:
    texts = [f"order LH-{n}, order LH-{n}: where is order LH-{n}?" for n in range(30)]
    assert recurrence(texts, [f"g{n}" for n in range(30)]) == 1
    assert recurrence(texts, [""] * 30) == 1, "an example without an episode is one of its own"
    assert recurrence([], []) == 1


def test_what_an_episode_alone_says_counts_by_the_examples_that_say_it() -> None:
    texts = [f"customer C{episode} asks, step {step}" for episode in range(10) for step in range(3)]
    assert recurrence(texts, [f"g{episode}" for episode in range(10) for _ in range(3)]) == 3


def test_what_episodes_share_does_not_count() -> None:
    texts = [f"approve or reject the claim, step {step}" for _ in range(10) for step in range(5)]
    assert recurrence(texts, [f"g{episode}" for episode in range(10) for _ in range(5)]) == 1


def test_one_long_episode_of_many_does_not_decide() -> None:
    texts = [*(f"customer L at step {step}" for step in range(50)), *(f"customer C{n}" for n in range(99))]
    groups = ["long"] * 50 + [f"g{n}" for n in range(99)]
    assert recurrence(texts, groups) == 1
    pairs = [f"customer C{n}" for n in range(99) for _ in range(2)]
    assert (
        recurrence([*texts[:50], *pairs], ["long"] * 50 + [f"g{n}" for n in range(99) for _ in range(2)]) == 2
    )


def test_of_many_episodes_some_are_read_evenly() -> None:
    n = 3 * MOST_EPISODES
    texts = [f"customer C{episode}" for episode in range(n) for _ in range(1 + (episode > n // 2))]
    groups = [f"g{episode}" for episode in range(n) for _ in range(1 + (episode > n // 2))]
    assert recurrence(texts, groups) == 2
