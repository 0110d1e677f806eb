"""A report answers three questions in plain sentences, bad news first."""

from __future__ import annotations

from typing import Any, get_args

from deputize.scoring.certificates import CertificateKind
from deputize.web import answers


def test_the_headline_is_what_is_saved(report: dict[str, Any]) -> None:
    assert answers.headline(report).startswith("Saves $")
    money, energy = answers.saved_money(report), answers.saved_energy(report)
    assert money.words == energy.words == "per 1,000 calls"
    assert money.amount.startswith("$0.9") and energy.amount.endswith(" watt-hours")
    report["source"]["calls_per_month"] = 30_000.0
    assert answers.saved_money(report).words == "a month, at 30,000 calls"
    assert answers.saved_money(report).amount.startswith("$27.")


def test_what_costs_more_or_is_slower_is_said_at_the_top(report: dict[str, Any]) -> None:
    first = report["tasks"][0]
    assert answers.warnings(report) == []
    first["median_llm_latency_ms"] = 20.0
    first["cost"]["routed_usd"] = 2 * first["cost"]["llm_only_usd"]
    slower, costs = answers.warnings(report)
    assert slower.startswith(f"Slower: {first['name']} takes 31 ms a call on this machine, the LLM 20 ms")
    assert costs.startswith(f"More expensive: {first['name']} costs $")
    report["total"]["cost"]["routed_usd"] = 1.5 * report["total"]["cost"]["llm_only_usd"]
    assert answers.headline(report).startswith("Costs more than the large language model alone: $")
    assert answers.saved_money(report).amount.startswith("−$")


def test_a_route_without_unseen_calls_claims_no_share_of_them(report: dict[str, Any]) -> None:
    report["tasks"][0]["held_out"] = None
    assert any(line.startswith("Not tried on unseen calls") for line in answers.warnings(report))
    assert answers.trust(report["tasks"][0]).endswith(
        "(95 % confidence). No unseen call was left to try it on."
    )


def test_a_route_is_said_in_one_sentence_with_the_most_that_it_may_change(report: dict[str, Any]) -> None:
    said = answers.trust(report["tasks"][0])
    assert said == (
        "Certified on 402 independent calls to change at most 2 % of all answers of this task (95 % confidence). Then tried on 225 "
        "unseen calls: it answered 205, and 2 differed from the LLM's answer. These calls alone would say: at most 3.1 %."
    )
    assert "none differed" in answers.trust(
        {**report["tasks"][0], "held_out": {**report["tasks"][0]["held_out"], "agreement_of_served": 1.0}}
    )
    summary = answers.trust_summary(report)
    assert "98.8 % of these as the LLM did" in summary and "at most" in summary and "±" not in summary


def test_every_kind_of_certificate_has_a_promise(report: dict[str, Any]) -> None:
    first = report["tasks"][0]
    said = set()
    for kind in get_args(CertificateKind):
        first["certificate"]["kind"] = kind
        said.add(answers.trust(first))
    assert len(said) == len(get_args(CertificateKind))


def test_without_a_route_there_is_nothing_to_trust(report: dict[str, Any]) -> None:
    report["total"] |= {"n_routes": 0, "agreement_of_served": None}
    assert answers.trust_summary(report) == ""
    assert answers.saved_money(report).amount == answers.saved_energy(report).amount == "–"
    assert answers.headline(report).startswith("Nothing is saved")


def test_next_steps_are_commands_with_ids(report: dict[str, Any]) -> None:
    report["tasks"][3]["verdict"]["kind"] = "llm"
    commands = [line for step in answers.next_steps(report) for line in step.commands]
    assert commands[:3] == ["deputize serve", "deputize route list", "deputize route show t1"]
    assert {"deputize route promote t1", "deputize route close t1", "deputize status"} <= set(commands)
    assert "deputize convert --audience reply=code" in commands
    report["tasks"][0]["verdict"] |= {"kind": "code", "reason": "it is always yes"}
    report["tasks"][1]["verdict"] |= {"kind": "cache", "reason": "all repeat"}
    words = [step.words for step in answers.next_steps(report)]
    assert any("as plain code: it is always yes" in line for line in words)
    assert any("Put a cache before" in line for line in words)
    report["tenant"] = "acme"
    commands = [line for step in answers.next_steps(report) for line in step.commands]
    assert "deputize tasks hide t1 --tenant acme" in commands


def test_a_refused_run_says_what_would_pass(report: dict[str, Any]) -> None:
    for task in report["tasks"]:
        task |= {"certificate": None, "feasibility": None, "refusal_reason": "differs too often"}
        task["verdict"]["kind"] = "llm"
    report["source"]["sites"] = []
    commands = [line for step in answers.next_steps(report) for line in step.commands]
    assert commands[0] == "deputize report 0001-9f31c2 --details"


def test_what_language_models_write_is_said_with_what_cheaper_methods_could(report: dict[str, Any]) -> None:
    first, second = report["tasks"][:2]
    for task in report["tasks"]:
        if task["specialist"]:
            task["specialist"]["kind"] = "linear"
    assert answers.language_model_summary(report) == ""
    first["specialist"]["kind"] = "decoder"
    trained = {**first["methods"][0], "trained": True, "chosen": False, "validation_coverage": 0.3}
    first["methods"] = [
        {**trained, "trained": False},
        {**trained, "chosen": True, "validation_coverage": 1.0},
    ]
    n_routes = sum(bool(task["certificate"] and task["specialist"]) for task in report["tasks"])
    said = answers.language_model_summary(report)
    assert said.startswith(f"Small language models write the answers of 1 of {n_routes} routes, ")
    assert "no cheaper method tried can write their answers. $" in said
    first["methods"].insert(1, trained)
    assert "cheaper methods could serve 30 % at most" in answers.language_model_summary(report)
    first["cost"]["routed_usd"] = 2 * first["cost"]["llm_only_usd"]
    assert "is theirs" not in answers.language_model_summary(report)
    assert second["name"] not in said
