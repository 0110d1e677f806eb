"""The page is one file that needs nothing else, says everything the report holds, and escapes what it quotes."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from rich.console import Console

from deputize.core.report_schema import document, validate
from deputize.web.page import render, write_report
from deputize.web.summary import render as table

VOID = {"meta", "line", "polyline", "polygon", "rect", "circle", "br", "i"}


class Balanced(HTMLParser):
    """Fails on a tag that is closed without being open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open and self.open[-1] == tag, (tag, self.open[-5:])
            self.open.pop()


def test_the_page_stands_alone(report: dict[str, Any], tmp_path: Path) -> None:
    page = write_report(tmp_path / "run", report)
    text = page.read_text("utf-8")
    assert not re.search(r"src\s*=|href\s*=\s*\"[^#]|@import|url\(", text)
    targets = set(re.findall(r'href="#(\w+)"', text))
    assert targets and targets <= set(re.findall(r'id="(\w+)"', text))
    assert "<script" not in text and "&lt;script&gt;" in text
    parser = Balanced()
    parser.feed(text)
    assert parser.open == []
    assert json.loads((tmp_path / "run" / "report.json").read_text("utf-8")) == report


def test_the_page_says_what_the_report_holds(report: dict[str, Any]) -> None:
    report["total"]["cost"]["n_calls_price_assumed"] = 3
    text = re.sub(r"\s+", " ", render(report))
    for part in (
        "What does it save me?",
        "Can I trust it?",
        "What do I do next?",
        "<h1>Saves $",
        "differed; p = 0.013",
        "tried on 225 unseen calls: it answered 205",
        "deputize route show t1",
        "12 independent calibration groups",
        "41 calls are too few",
        "reads 31 tokens instead of 386",
        "All 900 replies come from a closed set",
        "failed episode",
        "email address",
        "not JSON",
        "specialists, for what goes on",
        "earned back after",
        "at 610 tokens a second",
        "Energy of training, once",
        "2026-11-29",
        "The bill is an estimate: 3 calls name no model with a listed price",
        "/homes/desk",
        "needs 15 GB",
        "Read this before quoting",
        "a simulated machine",
        "gives the recorded answer again",
    ):
        assert part in text, part
    assert text.count('class="plot"') == 3 + 3 + 1, "curve and confidence of three tasks, and the map"
    assert text.index('id="save"') < text.index('id="trust"') < text.index('id="next"')


def test_a_slower_route_is_said_above_the_three_answers(report: dict[str, Any]) -> None:
    report["tasks"][0]["median_llm_latency_ms"] = 1.0
    text = render(report)
    assert 0 < text.index("Slower: ") < text.index("<nav>")


def test_losses_of_a_training_and_calls_over_time_are_drawn_where_there_are_any(
    report: dict[str, Any],
) -> None:
    report["tasks"][0]["specialist"]["losses"] = [
        {"epoch": i, "train": 2 / i, "validation": 2.2 / i} for i in (1, 2)
    ]
    report["source"]["by_time"] = [{"start_s": 60.0 * i, "n_code": 3, "n_human": 1} for i in range(5)]
    text = render(report)
    assert 'aria-label="Losses of the training for Classify' in text
    assert "loss per token after each pass, last 1 on training" in text
    assert "Calls over the time of the log" in text


def test_a_report_without_a_route_says_so(report: dict[str, Any]) -> None:
    for task in report["tasks"]:
        task |= {"certificate": None, "held_out": None, "refusal_reason": "too few", "curve": []}
    report["total"] |= {"n_routes": 0, "share_of_code_calls_served": 0.0, "agreement_of_served": None}
    text = render(report)
    assert "Nothing is saved: every call stays with the large language model" in text
    assert 'class="kpi"' not in text and "would cost the same again" in text
    report["tasks"] = []
    assert "0 tasks were found" in render(report)


def test_a_run_that_learned_from_nothing_says_so_in_the_first_line_and_why(report: dict[str, Any]) -> None:
    report["total"] |= {"n_routes": 0, "share_of_code_calls_served": 0.0, "agreement_of_served": None}
    report["tasks"] = []
    first = re.compile(r"<h1>(.*?)</h1>", re.DOTALL)

    def headline() -> str:
        found = first.search(render(report))
        assert found
        return found[1]

    assert headline().startswith("Nothing was learned: no task was found in")
    site = {**report["source"]["sites"][0], "name": "desk/chat", "n_human": 40}
    report["source"] |= {"n_code_calls": 0, "sites": [{**site, "evidence": "38 of 40 are answered."}]}
    assert headline().endswith("meant for code. At desk/chat: 38 of 40 are answered.")
    report["source"] |= {"n_calls": 0, "sites": []}
    assert headline() == "Nothing was learned: the log has no calls."


def test_the_report_and_its_replay_are_in_the_schema(replayed: dict[str, Any]) -> None:
    assert document(validate(replayed)) == replayed


def test_a_replay_is_shown_where_there_is_one(report: dict[str, Any], replayed: dict[str, Any]) -> None:
    assert "fresh calls through the gateway" not in render(report)
    page = render(replayed)
    parser = Balanced()
    parser.feed(page)
    assert parser.open == [] and "&lt;b&gt;A-17" in page
    text = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))
    for part in (
        "200 fresh calls through the gateway",
        "specialists 146 73 % 98.6 % 21 ms 80 ms",
        "LLM 54 27 % 100.0 % 184 ms",
        "They cost $0.061",
        "triage 30 % of calls, 100 % served",
        "reply 20 % of calls, LLM only",
        "Simulated agent and LLM.",
    ):
        assert part in text, part


def test_a_replay_in_which_nothing_was_served(replayed: dict[str, Any]) -> None:
    nobody = {"n_calls": 0, "share": 0.0, "agreement": None, "p50_ms": None, "p95_ms": None}
    replayed["replay"] |= {"disagreements": []}
    replayed["replay"]["by_server"]["slm"] = nobody
    assert "said something else" not in render(replayed)


def test_every_specialist_says_what_it_gave_away(report: dict[str, Any]) -> None:
    lora = (
        "lora: 3 secrets planted, 0 extracted, 1 exposed; mean exposure 2.7 bits (1.4 in a model that never saw them); "
        "the least safe one still costs 8.4 million of 1 billion guesses"
    )
    linear = (
        "still costs 1 of 1 billion guesses. Refused: 1 of 3 planted secrets were extracted letter for letter"
    )
    page = re.sub(r"\s+", " ", render(report))
    console = Console(width=400)
    with console.capture() as captured:
        console.print(table(report))
    for text in (page, captured.get()):
        assert lora in text and linear in text
    assert "Leak test: 1 of 2 specialists give away none of 6 planted secrets" in captured.get()
    for task in report["tasks"]:  # of a run of an older version
        task["leak_tests"] = [{**t, "bits_remaining": None} for t in task["leak_tests"]]
    assert "guesses" not in render(report) and "2.7 bits" in render(report)
    for task in report["tasks"]:
        task["leak_tests"] = []
    assert "Leak test" not in render(report)


def test_no_word_needs_a_glossary(report: dict[str, Any]) -> None:
    text = re.sub(r"<style>.*?</style>|<[^>]+>", " ", render(report), flags=re.DOTALL)
    assert not re.search(
        r"\b(HCI|SLM|OOD|KPI|CO2e?|Wh|pp|rungs?|dev|learned|G\d\w?|S[1-6])\b|±|not_worse", text
    )
    assert text.index("large language model (LLM)") < text.index("LLM alone")
    assert "Certificate: not worse than the LLM." in text
