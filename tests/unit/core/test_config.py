"""Settings refuse what they do not know and say what is wrong in one sentence."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from deputize.core.config import Convert, Privacy, StoreSettings, sentence


def test_the_defaults_are_what_the_pages_say() -> None:
    config = Convert()
    assert (config.epsilon, config.delta, config.seed, config.minutes) == (0.05, 0.05, 0, 30.0)
    assert config.limit_among_served == pytest.approx(3 * 0.05) and config.error_usd == 0.0
    assert (config.min_calls, config.min_origins, config.methods) == (60, 2, ("auto",))
    assert config.split is None
    assert (Privacy().detectors, StoreSettings().kind) == ((), "sqlite")


@pytest.mark.parametrize(
    "wrong",
    [
        {"epsilon": 0},
        {"epsilon": 1},
        {"delta": -0.1},
        {"seed": -1},
        {"minutes": 0},
        {"min_calls": 0},
        {"min_origins": 0},
        {"balance": 1.1},
        {"privacy": "none"},
        {"served_limit": 1.0},
        {"epsilonn": 0.1},
    ],
)
def test_a_wrong_setting_is_refused_by_its_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        Convert.model_validate(wrong)
    (name,) = wrong
    assert sentence(caught.value).startswith(f"{name}: ")
    assert f"(given: {wrong[name]!r})" in sentence(caught.value)


@pytest.mark.parametrize(
    "wrong, said",
    [
        ({"epsilon": 5}, "epsilon: must be less than 1 (given: 5)"),
        ({"methods": "linear"}, """methods: must be a list, such as ["a", "b"] (given: 'linear')"""),
        (
            {"epsilo": 0.1},
            "epsilo: there is no setting of this name; `deputize config check` proposes one (given: 0.1)",
        ),
    ],
)
def test_a_wrong_setting_is_told_in_the_words_of_the_file(wrong: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Convert.model_validate(wrong)
    assert sentence(caught.value) == said


def test_a_run_keeps_its_settings() -> None:
    with pytest.raises(ValidationError):
        Convert().seed = 4  # type: ignore[misc]
    assert Convert.model_validate(Convert(seed=4).model_dump(mode="json")) == Convert(seed=4)


def test_the_limit_among_served_calls_follows_epsilon_unless_it_is_set() -> None:
    assert Convert(epsilon=0.02).limit_among_served == pytest.approx(0.06)
    assert Convert(served_limit=0.2).served_limit_at(0.01) == 0.2
    assert Convert(epsilon=0.4).limit_among_served is None, "three times epsilon allows any loss"


def test_an_error_has_a_price_for_all_tasks_or_by_the_id_or_name_of_one() -> None:
    assert Convert(error_usd=2.0).error_usd_of("t1", "Route the request") == 2.0
    priced = Convert(error_usd={"t1": 3.0, "Find": 4.0, "*": 5.0})
    assert [priced.error_usd_of(*names) for names in (("t1", "x"), ("t2", "Find"), ("t3", "y"))] == [
        3.0,
        4.0,
        5.0,
    ]
    assert Convert(error_usd={"t1": 3.0}).error_usd_of("t2", "Find") == 0.0
