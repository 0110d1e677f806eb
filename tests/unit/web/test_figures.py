"""Numbers read well, and plots keep inside their frame."""

from __future__ import annotations

import re
from typing import get_args

from deputize.scoring.certificates import CertificateKind
from deputize.web import figures


def test_guesses_read_well() -> None:
    said = [figures.guesses(bits) for bits in (0, 9.9, 10, 20, 29.9, 41.4)]
    assert said == ["1", "955", "1 thousand", "1 million", "1 billion", "2.9 trillion"]


def test_a_leak_test_says_how_often_its_secrets_stood_in_train() -> None:
    test = {
        "method": "lora",
        "leaks": False,
        "n_planted": 6,
        "n_extracted": 0,
        "n_exposed": 0,
        "mean_exposure": 1.0,
    }
    assert "stood" not in figures.leak_words(test)
    said = figures.leak_words({**test, "n_repeated": 2, "repeats": 4})
    assert said.endswith("; 2 of them stood in up to 4 training examples, as the data of an episode does")


def test_numbers_read_well() -> None:
    assert [figures.share(x) for x in (0, 1, 0.5, 0.004, 0.9966, None)] == [
        "0 %",
        "100 %",
        "50 %",
        "0.4 %",
        "99.7 %",
        "–",
    ]
    assert [figures.usd(x) for x in (0, 1234.5, 0.0123, 0.0000012)] == [
        "$0",
        "$1,234.50",
        "$0.012",
        "$0.0000012",
    ]
    assert [figures.duration(x) for x in (300, 12.34, 0.25, 0.0004)] == [
        "5.0 min",
        "12.3 s",
        "250 ms",
        "0.4 ms",
    ]
    assert (figures.at_most((-0.042, -0.0)), figures.at_most((0.0, 0.031))) == (
        "at most 0.0 %",
        "at most 3.1 %",
    )
    assert [figures.energy(x) for x in (0.0125, 12.0, 3400.0, None)] == [
        "12.5 milliwatt-hours",
        "12 watt-hours",
        "3.4 kilowatt-hours",
        "–",
    ]
    assert (figures.mass(3.2), figures.mass(12_345)) == ("3.2 g", "12.3 kg")


def test_every_kind_of_certificate_has_words() -> None:
    for kind in get_args(CertificateKind):
        assert "_" not in figures.certificate_kind(kind)


def test_a_bar_is_as_long_as_its_share_and_filled_as_far_as_it_is_served() -> None:
    task = {"certificate": {"share_served": 0.9}, "held_out": {"share_served": 0.4}}
    bars = figures.served_bars(
        [
            {**task, "name": "<b>", "share_of_calls": 0.5},
            {"name": "chat", "share_of_calls": 0.25, "certificate": None},
        ]
    )
    assert re.findall(r"width:([\d.]+)%", bars) == ["100.0", "40.0", "50.0", "0.0"]
    assert "&lt;b&gt;" in bars and "25 % of calls, LLM only" in bars


def test_a_share_of_calibration_is_not_shown_as_one_of_unseen_calls() -> None:
    untried = {"certificate": {"share_served": 0.9}, "held_out": None, "name": "x", "share_of_calls": 1.0}
    assert figures.served_share(untried) is None
    assert "not tried" in figures.served_bars([untried])


def test_costs_are_two_bars_a_task() -> None:
    task = {"name": "<b>", "cost": {"llm_only_usd": 2.0, "routed_usd": 0.5}, "certificate": {"id": "c"}}
    bars = figures.cost_bars([task])
    assert figures.cost_bars([{**task, "certificate": None}]).count("width:") == 1
    assert re.findall(r"width:([\d.]+)%", bars) == ["100.0", "25.0"] and "$2.00 → $0.5" in bars
    assert figures.cost_bars([]) == ""


def test_words_for_methods_verdicts_and_repeats() -> None:
    assert figures.method_words("linear+lora") == "linear model and small language model"
    three = "linear model, linear model on a text encoder and linear model on a language model"
    assert figures.method_words("linear+frozen+frozen_base") == three
    assert figures.method_words("probe: few-shot") == "untrained, few-shot"
    assert figures.verdict_words("code") == "plain code"
    counts = {"n_exact_repeats": 0, "n_exact_alike": 0, "n_near_repeats": 0, "n_near_alike": 0}
    assert figures.repeats_words({"n_calls": 9, "verdict": counts}) == "No call of 9 repeats an earlier one."
    said = figures.repeats_words(
        {"n_calls": 9, "verdict": {**counts, "n_exact_repeats": 4, "n_exact_alike": 3}}
    )
    assert "4 repeat an earlier one letter for letter (3 with its answer)" in said
