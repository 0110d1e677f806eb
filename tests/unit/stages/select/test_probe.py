"""Baselines before any training: what they say, and what they do not begin."""

from __future__ import annotations

from pathlib import Path

from tests import tiny_tasks

from deputize.core.records import Example
from deputize.specialists import catalogue
from deputize.specialists.language_model import LanguageModel
from deputize.specialists.thread_count import Threads
from deputize.stages.select import probe

Tiny = tuple[Path, str]


def test_a_prompt_that_would_take_longer_than_there_is_is_not_begun(tiny: Tiny) -> None:
    base = LanguageModel(catalogue.model_path(tiny[1], tiny[0]), "cpu", "fp32")
    validation = [tiny_tasks.example("label", i, "validation") for i in range(4)]
    task = tiny_tasks.task("label")
    assert probe.as_it_is(base, task, validation, (), budget_s=30.0) is not None
    base.threads["read"] = Threads(1)
    base.threads["read"].record(1, 0.5)  # half a token a second
    assert probe.as_it_is(base, task, validation, (), budget_s=1.0) is None


def test_generated_text_is_read_as_a_reply() -> None:
    tool = tiny_tasks.CONTRACTS["action"]
    text = 'Sure: [{"name": "refund", "arguments": {"order": "1"}}]\n\nInput: next'
    assert probe.reply_of(text, tool)["tool_calls"][0]["function"] == {
        "name": "refund",
        "arguments": {"order": "1"},
    }
    assert probe.reply_of("no call", tool)["content"] == "no call"
    assert probe.reply_of('[{"name": ', tool)["content"].startswith("[")
    assert probe.reply_of('x {"a": 1} y', tiny_tasks.CONTRACTS["closed"])["content"] == '{"a": 1}'
    assert probe.reply_of("yes\nbecause", tiny_tasks.CONTRACTS["label"])["content"] == "yes"


def test_probes_without_data_say_nothing() -> None:
    contract = tiny_tasks.CONTRACTS["label"]
    assert probe.majority([], ["yes"], contract) is None
    assert probe.majority(["yes"], [], contract) is None


def test_said_is_one_line() -> None:
    example: Example = tiny_tasks.example("action", 3, "train")
    assert "\n" not in probe.said(example.response)
    assert probe.said({"role": "assistant", "content": "a\nb"}) == "a b"
