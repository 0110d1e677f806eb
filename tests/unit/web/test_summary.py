"""The summary of a report fits a terminal and says what decides."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from deputize.web.answers import brief_refusal
from deputize.web.summary import brief
from deputize.web.summary import render as table


def shown(report: dict[str, Any], **given: int) -> str:
    console = Console(width=120, record=True, file=None, force_terminal=False, quiet=False)
    with console.capture() as captured:
        console.print(table(report, **given))
    return captured.get()


def test_the_table_fits_a_terminal(report: dict[str, Any]) -> None:
    console = Console(width=120, record=True, file=None, force_terminal=False, quiet=False)
    with console.capture() as captured:
        console.print(table(report))
    text = captured.get()
    assert max(map(len, text.splitlines())) <= 120
    for part in ("Classify the customer's request", "lora", "91 %", "LLM", "Refused", "41 calls are too few"):
        assert part in text


def test_smaller_tasks_are_counted(report: dict[str, Any]) -> None:
    assert "and 2 smaller tasks" in shown(report, max_tasks=2)
    assert "smaller tasks" not in shown(report)


def test_without_a_route_the_headline_says_so(report: dict[str, Any]) -> None:
    report["total"]["n_routes"] = 0
    assert shown(report).startswith("Nothing is saved: every call stays with the large language model (LLM).")


def test_what_cannot_be_certified_is_the_headline_and_each_task_says_what_it_has(
    report: dict[str, Any],
) -> None:
    assert "64 of 63" in shown(report)
    report["nothing_trained_reason"] = (
        "No task of this log can be certified at epsilon 0.05 and delta 0.05 yet."
    )
    assert shown(report).startswith("No task of this log can be certified")


def test_what_is_left_of_delta_is_said_for_each_task_that_was_tested(report: dict[str, Any]) -> None:
    report["tasks"][0]["delta_spending"] = {
        "delta": 0.05,
        "test_level": 0.008,
        "n_earlier": 1,
        "new_groups_only": False,
        "n_groups": 63,
        "delta_left": 0.002,
    }
    report["tasks"][0]["family_wise"] = {
        "n_tasks": 5,
        "test_level": 0.0016,
        "certified": True,
        "share_served": 0.4,
    }
    text = " ".join(shown(report).split())
    assert (
        "Tested at level 0.008 of delta 0.05, after 1 earlier test on some of the same episodes; 0.002 is left"
        in text
    )
    assert "all 5 tasks tested to hold at once, 40 % could be served" in text


def test_erased_training_examples_are_reported(report: dict[str, Any]) -> None:
    assert "were erased" not in shown(report)
    report["tasks"][0]["specialist"]["n_erased"] = 7
    said = " ".join(shown(report).split())
    assert "Trained on erased calls: 7 of the 812 examples of Classify the customer's request" in said


def test_no_word_needs_a_glossary(report: dict[str, Any]) -> None:
    text = shown(report)
    assert not any(word in text for word in ("HCI", "rung", " dev ", "not_worse", "S4", "S6"))


def test_what_was_left_out_is_a_row_with_its_evidence_and_the_command_that_takes_it_in(
    report: dict[str, Any],
) -> None:
    site = {**report["source"]["sites"][0], "name": "desk/rewrite", "n_human": 40, "n_unsure": 30}
    report["source"]["sites"] = [{**site, "evidence": "Of 40 replies: 30 unsure."}]
    text = shown(report)
    assert "desk/rewrite: 40 calls, 30 of them unsure. Of 40 replies: 30 unsure." in text
    assert "deputize convert --audience desk/rewrite=code" in text
    report["source"]["sites"] = [{**site, "n_human": 0}]
    assert "Left out" not in shown(report)


def test_a_run_that_learns_from_nothing_says_so_in_its_first_line(report: dict[str, Any]) -> None:
    report["source"]["n_code_calls"] = 0
    report["nothing_trained_reason"] = "No task can be certified."
    assert shown(report).startswith("Nothing was learned: of")
    report["source"]["n_code_calls"], report["tasks"] = 5, []
    assert shown(report).startswith("Nothing was learned: no task was found in 5 calls")


def brief_text(report: dict[str, Any], width: int = 80) -> str:
    console = Console(width=width, force_terminal=False)
    with console.capture() as captured:
        console.print(brief(report))
    return captured.get()


def test_the_brief_summary_fits_80_columns_with_a_line_for_each_task(report: dict[str, Any]) -> None:
    text = brief_text(report)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80 and len(lines) <= 30
    for task in report["tasks"]:
        start = task["name"][:20]
        assert any(line.startswith(start) and f"{task['n_calls']:,}" in line for line in lines), start
    assert "with routes." in text and "Tested at level" not in text


def test_a_refusal_says_what_would_pass(report: dict[str, Any]) -> None:
    task = report["tasks"][0]
    task["refusal_reason"] = "not trained, since it could not be certified"
    task["feasibility"] = {
        **(task["feasibility"] or {}),
        "possible": False,
        "n_more_groups": 63,
        "smallest_epsilon": 0.0621,
        "days": 1.4,
    }
    words = "too few episodes. Would pass: 63 more (about 2 days), or --epsilon 0.063"
    assert brief_refusal(task) == words
    task["verdict"]["kind"], task["certificate"] = "llm", None
    assert words in " ".join(brief_text(report).split())
    task["feasibility"]["possible"] = True
    assert brief_refusal(task) == task["refusal_reason"]


def test_only_a_leak_has_a_line_of_its_own_in_the_brief_summary(report: dict[str, Any]) -> None:
    tests = next(t["leak_tests"] for t in report["tasks"] if t["leak_tests"])
    tests[0]["leaks"], tests[0]["reason"] = False, ""
    assert "Leak test:" in brief_text(report) and "mean exposure" not in brief_text(report)
    tests[0]["leaks"], tests[0]["reason"] = True, "a secret was extracted"
    assert "mean exposure" in " ".join(brief_text(report).split())


def test_replies_for_people_are_one_line_with_the_command(report: dict[str, Any]) -> None:
    site = {**report["source"]["sites"][0], "name": "desk/rewrite", "n_human": 40}
    report["source"]["sites"] = [site]
    text = " ".join(brief_text(report).split())
    assert "40 replies at 1 site were left out" in text and "--audience desk/rewrite=code" in text


def test_every_verdict_has_its_place_in_the_brief_summary(report: dict[str, Any]) -> None:
    for task in report["tasks"][2:]:
        task["verdict"] |= {"kind": "llm", "reason": task["refusal_reason"]}
    text = brief_text(report)
    assert "Left to the LLM" in text and "Better as plain code" not in text
    report["tasks"][0]["verdict"] |= {"kind": "code", "reason": "the answer is always yes"}
    report["tasks"][1]["verdict"] |= {"kind": "cache", "reason": "400 of 420 calls repeat"}
    text = " ".join(brief_text(report).split())
    assert "Better as plain code Classify the customer's request: the answer is always yes" in text
    assert "Better from a cache Extract order number, product and date from the message: 400 of 420" in text


def test_the_brief_summary_ends_with_what_to_do_next(report: dict[str, Any]) -> None:
    assert "Next: deputize serve; deputize route list; deputize route promote t1" in brief_text(report)
