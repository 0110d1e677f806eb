"""Candidate models: filters by licence, memory, context and form of tool calls; a ranking by published figures."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from tests import tiny_tasks

from deputize.core.config import Convert
from deputize.core.errors import MissingExtra
from deputize.specialists import catalogue
from deputize.specialists.catalogue import Figures, Model
from deputize.stages.select import candidates

CONFIG = Convert()


def model(name: str, params_m: float, **percent: float) -> Model:
    figures = [Figures(page="https://a", read="2026-01-01", percent=percent)] if percent else []
    return Model(name=name, params_m=params_m, context=100, licence="mit", source="", figures=figures)


def test_licence_and_memory_filter_with_the_reason() -> None:
    barred = candidates.filtered(catalogue.find("xLAM-2-8B"), 64, CONFIG)
    assert "cc-by-nc-4.0" in barred.note and barred.fits
    large = candidates.filtered(catalogue.find("granite-3.3-8b-instruct"), 16, CONFIG)
    assert not large.fits and "GB may be used here" in large.note
    smaller = candidates.filtered(catalogue.find("granite-3.3-8b-instruct"), 24, Convert(methods=("qlora",)))
    assert smaller.fits, "four bits take less"
    small = candidates.filtered(catalogue.find("SmolLM2-135M-Instruct"), 4, CONFIG)
    assert small.fits and small.note == ""
    assert "language model" in candidates.filtered(catalogue.find("all-MiniLM-L6-v2"), 4, CONFIG).note


def test_prompts_that_are_too_long_and_other_forms_of_tool_calls_rule_a_model_out_for_a_task() -> None:
    label, action = tiny_tasks.task("label"), tiny_tasks.task("action")
    assert "one of twenty prompts of this task has 101 or more" in candidates.unfit(
        model("a", 1), label, 101, CONFIG
    )
    assert candidates.unfit(model("a", 1), label, 100, CONFIG) == ""
    picky = Convert(tool_formats=("hermes",))
    assert "none that is known" in candidates.unfit(model("a", 1), action, 10, picky)
    assert candidates.unfit(model("a", 1), label, 10, picky) == "", "no tool is called there"
    hermes = msgspec.structs.replace(model("a", 1), tool_format="hermes")
    assert (
        candidates.unfit(hermes, action, 10, picky)
        == candidates.unfit(model("a", 1), action, 10, CONFIG)
        == ""
    )


def test_the_ranking_follows_the_figures_that_count_for_the_contract() -> None:
    talker, caller = (
        model("talker", 1000, ifeval=80, bfcl_v2=20),
        model("caller", 1000, ifeval=60, bfcl_v2=70),
    )
    assert [m.name for m, *_ in candidates.ranked([talker, caller], "tool_call")] == ["caller", "talker"]
    assert [m.name for m, *_ in candidates.ranked([talker, caller], "json")] == ["talker", "caller"]
    silent = model("silent", 1000)
    rows = candidates.ranked([talker, caller, silent], "json")
    assert rows[-1][0].name == "silent" and "no published figure" in rows[-1][2], "silence is no merit"
    big = model("big", 8000)
    sizes = [model("s", 100, ifeval=30), model("m", 1000, ifeval=50), big]
    assert candidates.ranked(sizes, "json")[0][0].name == "big", "by its size it is taken to have 68 - 10"


def test_prompt_tokens_are_those_of_the_long_prompts() -> None:
    curated, _ = tiny_tasks.make(("label",), 40)
    n = candidates.prompt_tokens(tiny_tasks.task("label"), curated.examples)
    assert 1 < n < 400
    assert candidates.prompt_tokens(tiny_tasks.task("label"), []) == 0


def test_others_that_could_run_are_named_with_rank_and_reason(tmp_path: Path) -> None:
    task = tiny_tasks.task("action")
    rows = candidates.others(task, CONFIG, 8.0, tmp_path, 100)
    assert 0 < len(rows) <= 5 and all(r.fits for r in rows)
    assert rows[0].note.startswith("not asked for; could run here (number 1 of ")
    names = {r.model for r in rows}
    assert not names & {"SmolLM2-135M-Instruct", "xLAM-2-3b-fc-r"}, "asked for; not to be used commercially"
    assert not candidates.others(task, CONFIG, 8.0, tmp_path, 10_000_000), "no model reads that much"


def fetched(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).mkdir(parents=True)
        (folder / name / catalogue.MANIFEST).write_text("{}")
    return folder


def test_auto_is_the_most_promising_of_what_is_fetched_and_can_run(tmp_path: Path) -> None:
    here = fetched(
        tmp_path,
        "SmolLM2-135M-Instruct",
        "SmolLM2-360M-Instruct",
        "Qwen3-0.6B",
        "Qwen3-1.7B",
        "xLAM-2-3b-fc-r",
    )
    auto = Convert(models=("auto",))
    of_tools = candidates.with_fetched(auto, ["tool_call"] * 9 + ["label"], 64.0, here).models
    # not the one that may not be used commercially, nor the least promising one
    assert set(of_tools) == {"SmolLM2-360M-Instruct", "Qwen3-0.6B", "Qwen3-1.7B"}
    assert of_tools[0] == "Qwen3-1.7B"
    both = Convert(models=("SmolLM2-135M-Instruct", "auto"))
    assert candidates.with_fetched(both, ["text"], 64.0, here).models[0] == "SmolLM2-135M-Instruct"
    assert candidates.with_fetched(auto, ["text"], 4.0, here).models == ("SmolLM2-135M-Instruct",)
    named = Convert(models=("Qwen3-0.6B",))
    assert candidates.with_fetched(named, ["text"], 64.0, here) is named


def test_auto_without_a_model_that_can_run_says_how_to_get_one(tmp_path: Path) -> None:
    for here in (tmp_path / "none", fetched(tmp_path, "xLAM-2-3b-fc-r")):
        with pytest.raises(MissingExtra, match="deputize models fetch NAME"):
            candidates.with_fetched(Convert(models=("auto",)), ["label"], 64.0, here)
