"""The first pass: summaries without texts, and which requests and answers are equal."""

from __future__ import annotations

from typing import Any

from deputize.core.records import Call
from deputize.privacy.scan.ensemble import DetectorEnsemble
from deputize.privacy.scan.line_index import LineIndex
from deputize.stages.collect.audience import infer_sites
from deputize.stages.curate.first_pass import CallSummary, read_log, summarise


def call(id: str, text: str = "Book a seat", reply: Any = '{"a": 1}', **fields: Any) -> Call:
    response = reply if isinstance(reply, dict) else {"role": "assistant", "content": reply}
    return Call(id=id, messages=[{"role": "user", "content": text}], response=response, **fields)


def summary(*args: Any, **fields: Any) -> CallSummary:
    return summarise(call("c", *args, **fields), "s", "")


def test_equal_and_near_requests() -> None:
    assert summary() == summary()
    other = summary("  book A seat.")
    assert other.prompt != summary().prompt and other.near_prompt == summary().near_prompt
    assert summary("Book a bed").near_prompt != summary().near_prompt
    assert summary(agent="x").prompt != summary().prompt


def test_equal_answers() -> None:
    assert summary(reply=" yes ").answer == summary(reply="yes").answer != summary(reply="no").answer
    tool_call = {"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}
    assert summary(reply=tool_call).reply_text == "" != summary().reply_text


def test_a_call_without_group_is_in_that_of_its_episode() -> None:
    assert [summary().group, summary(episode="e").group, summary(episode="e", group="g").group] == [
        "c",
        "e",
        "g",
    ]


def test_calls_for_people_are_counted_only_and_others_are_judged() -> None:
    chat = [
        call(f"h{i}", f"hi {i}", f"Nice to meet you, {i} times.", agent="chat", episode=f"h{i}")
        for i in range(5)
    ]
    code = [call(f"c{i}", f"go {i}", agent="code", episode="e") for i in range(4)]
    failed = call("f", "go", '{"a": 2}', agent="code", status=500)
    calls = [*chat, *code, failed]
    index = read_log(calls, infer_sites(calls), LineIndex(DetectorEnsemble([])))
    assert list(index.calls) == ["c0", "c1", "c2", "c3", "f"] and index.n_episodes == 7
    assert index.calls["c0"].reason == "" and index.calls["f"].reason == "failed or aborted call"
