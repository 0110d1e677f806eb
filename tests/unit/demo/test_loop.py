"""The state of a demo: begun once, kept to its settings, never mixed with anything else in the folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from deputize.core.errors import BadInput, UsageError
from deputize.demo import loop, world
from deputize.demo.loop import DemoSize
from deputize.scoring.costs import load_prices


def test_a_demo_is_begun_once_and_found_again(tmp_path: Path) -> None:
    home = tmp_path / "demo"
    state = loop.open_state(home, DemoSize(seed=3, n_episodes=5))
    assert (state.seed, state.n_episodes, state.run_id) == (3, 5, "")
    assert loop.open_state(home, DemoSize(seed=3, n_episodes=5)) == state
    for other in (DemoSize(seed=4, n_episodes=5), DemoSize(seed=3, n_episodes=6)):
        with pytest.raises(UsageError, match="other settings"):
            loop.open_state(home, other)


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="holds no demo"):
        loop.open_state(tmp_path, DemoSize())
    with pytest.raises(UsageError, match="not deleted"):
        loop.forget(tmp_path)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_demo_is_forgotten_whole(tmp_path: Path) -> None:
    home = tmp_path / "demo"
    loop.open_state(home, DemoSize())
    loop.forget(home)
    assert not home.exists()
    loop.forget(home)


def test_a_damaged_state_says_how_to_start_again(tmp_path: Path) -> None:
    loop.open_state(tmp_path, DemoSize())
    (tmp_path / "demo.json").write_text("{")
    with pytest.raises(BadInput, match="--fresh"):
        loop.open_state(tmp_path, DemoSize())


def test_the_replay_has_enough_tickets_and_none_of_those_trained_on() -> None:
    plan = DemoSize(n_episodes=30, n_fresh_calls=50)
    fresh = loop.fresh_tickets(plan)
    assert len(fresh) * 4 >= 50
    assert not {t.number for t in fresh} & {t.number for t in plan.tickets()}
    assert plan.tickets()[0] == world.ticket(plan.seed, 0)


def test_the_settings_are_those_of_a_run_and_the_prices_are_known(tmp_path: Path) -> None:
    config = DemoSize(epsilon=0.03, minutes=2).convert()
    assert (config.epsilon, config.minutes) == (0.03, 2)
    loop.open_state(tmp_path, DemoSize())
    assert "assumed for the simulation" in (tmp_path / "prices.toml").read_text()
    assert load_prices(tmp_path) != load_prices()
