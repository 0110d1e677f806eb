"""Runs of LangSmith and callbacks of LangChain."""

from __future__ import annotations

from deputize.core.artifacts import Skip
from deputize.core.records import Call
from deputize.stages.collect.importers.base import ImportContext
from deputize.stages.collect.importers.langchain import LangsmithImporter

CONTEXT = ImportContext("f", 1)


def test_other_runs_and_halves_of_calls_are_named() -> None:
    joiner = LangsmithImporter().joiner()
    chain = joiner.add({"run_type": "chain", "inputs": {}, "outputs": {}}, CONTEXT)
    assert isinstance(chain[0], Skip) and chain[0].is_no_call
    (end,) = joiner.add({"event": "on_llm_end", "run_id": "r", "data": {}}, CONTEXT)
    assert isinstance(end, Skip) and "beginning is not in the log" in end.reason
    assert joiner.add({"event": "on_llm_start", "run_id": "q", "data": {"prompts": ["x"]}}, CONTEXT) == []
    (left,) = joiner.finish()
    assert isinstance(left, Skip) and "end is not in the log" in left.reason


def test_an_error_is_a_failed_call() -> None:
    row = {
        "id": "r",
        "run_type": "llm",
        "inputs": {"prompts": ["x"]},
        "outputs": None,
        "error": "RateLimitError: rate limit",
    }
    call = LangsmithImporter().parse(row, CONTEXT)
    assert (
        isinstance(call, Call) and call.status == 429 and call.messages == [{"role": "user", "content": "x"}]
    )
