"""The settings of a run: defaults, then config.toml, then the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from deputize.cli.convert import settings
from deputize.cli.main import run
from deputize.core.config import Convert
from deputize.core.errors import BadInput, MissingExtra, UsageError
from deputize.home import Home

NOTHING: dict[str, object] = {"epsilon": None, "seed": None, "models": ()}


def test_each_source_overrides_the_one_before(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert settings(home, NOTHING) == Convert()
    (tmp_path / "config.toml").write_text("[convert]\nepsilon = 0.1\nseed = 5\n")
    got = settings(home.fresh(), {**NOTHING, "seed": 9})
    assert (got.epsilon, got.seed, got.delta) == (0.1, 9, Convert().delta)


def test_a_resumed_run_keeps_its_own_settings(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[convert]\nepsilon = 0.1\n")
    before = Convert(epsilon=0.03, seed=2).model_dump()
    assert settings(Home(tmp_path), NOTHING, before) == Convert(epsilon=0.03, seed=2)


def test_a_wrong_value_is_the_fault_of_whoever_gave_it(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="epsilon"):
        settings(Home(tmp_path), {**NOTHING, "epsilon": 7.0})
    (tmp_path / "config.toml").write_text('[convert]\nepsilon = "much"\n')
    with pytest.raises(BadInput, match=r"config\.toml"):
        settings(Home(tmp_path), NOTHING)


def test_a_model_that_is_not_in_the_catalogue_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no-such-model"):
        settings(Home(tmp_path), {**NOTHING, "models": ("no-such-model",)})


def test_methods_are_chosen_by_option_or_file_and_must_be_known(tmp_path: Path) -> None:
    assert settings(Home(tmp_path), NOTHING).methods == ("auto",)
    (tmp_path / "config.toml").write_text('[convert]\nmethods = ["linear", "full"]\n')
    assert settings(Home(tmp_path), NOTHING).methods == ("linear", "full")
    assert settings(Home(tmp_path), {**NOTHING, "methods": ("dora",)}).methods == ("dora",)
    with pytest.raises(
        UsageError,
        match=r"'lorra'\. Known: auto, cache, linear, tools, listed, frozen, encoder, frozen_base, lora, ",
    ):
        settings(Home(tmp_path), {**NOTHING, "methods": ("linear", "lorra")})


@pytest.mark.usefixtures("without_bitsandbytes")
def test_a_method_that_cannot_run_here_says_what_to_install(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = ["--home", str(tmp_path)]
    assert run([*home, "convert", "--method", "linear", "--method", "qlora"]) == MissingExtra.exit_code
    assert "pip install 'deputize[qlora]'" in capsys.readouterr().err


def test_a_home_without_calls_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--home", str(tmp_path), "convert"]) == 3
    assert "nothing to learn from" in capsys.readouterr().err


def test_readers_are_named_by_file_and_option(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text('[audience]\n"desk" = "human"\n"desk/rewrite" = "code"\n')
    assert settings(Home(tmp_path), NOTHING).audience == {"desk": "human", "desk/rewrite": "code"}
    got = settings(Home(tmp_path), {**NOTHING, "readers": ("code", "desk · text=human", "desk=code")})
    assert got.audience == {"desk": "code", "desk/rewrite": "code", "*": "code", "desk · text": "human"}
    with pytest.raises(UsageError, match="audience"):
        settings(Home(tmp_path), {**NOTHING, "readers": ("desk=robot",)})
