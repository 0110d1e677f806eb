"""Settings refuse what they do not know and say what is wrong in one sentence."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from deputize.core.config import Convert, Privacy, StoreSettings, sentence


def test_the_defaults_are_what_the_pages_say() -> None:
    config = Convert()
    assert (config.epsilon, config.delta, config.seed, config.minutes) == (0.02, 0.05, 0, 30.0)
    assert (config.min_calls, config.min_origins, config.methods) == (60, 2, ("linear", "lora"))
    assert sum(config.split) == pytest.approx(1)
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
        {"epsilonn": 0.1},
    ],
)
def test_a_wrong_setting_is_refused_by_its_name(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        Convert.model_validate(wrong)
    (name,) = wrong
    assert sentence(caught.value).startswith(f"{name}: ")
    assert f"(given: {wrong[name]!r})" in sentence(caught.value)


def test_a_run_keeps_its_settings() -> None:
    with pytest.raises(ValidationError):
        Convert().seed = 4  # type: ignore[misc]
    assert Convert.model_validate(Convert(seed=4).model_dump(mode="json")) == Convert(seed=4)
