"""OpenAI's chat formats: request and response logs, lines for fine-tuning."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from deputize.core.records import Call
from deputize.stages.collect.import_logs import read_calls
from deputize.stages.collect.importers.base import ImportContext
from deputize.stages.collect.importers.openai_chat import ExchangeImporter

ASK = [{"role": "system", "content": "Route."}, {"role": "user", "content": "hello"}]
SAY = {"role": "assistant", "content": "greeting"}


def log(path: Path, *rows: Any) -> Path:
    path.write_text("\n".join(r if isinstance(r, str) else json.dumps(r) for r in rows) + "\n", "utf-8")
    return path


def calls_of(path: Path, **options: Any) -> list[Call]:
    out = list(read_calls(path, **options))
    assert all(isinstance(c, Call) for c in out), out
    return [c for c in out if isinstance(c, Call)]


def test_request_response_logs_and_fine_tuning_lines_are_recognised(tmp_path: Path) -> None:
    choice = {"index": 0, "message": SAY, "finish_reason": "stop"}
    request = {"model": "m", "messages": ASK, "temperature": 0, "user": "ann@example.org", "tools": []}
    wrapped = {
        "request": request,
        "response": {
            "id": "x",
            "created": 1715785200,
            "model": "m-1",
            "choices": [choice],
            "usage": {"prompt_tokens": 5, "completion_tokens": 2},
        },
    }
    plain = {"messages": ASK, "response": {"choices": [choice]}}
    tuning = {"messages": [*ASK, SAY]}
    text = {"messages": ASK, "completion": "greeting"}
    calls = calls_of(log(tmp_path / "a.jsonl", wrapped, plain, tuning, text), agent="given")
    assert [c.messages for c in calls] == [ASK] * 4
    assert {c.response["content"] for c in calls} == {"greeting"} and {c.agent for c in calls} == {"given"}
    first = calls[0]
    assert (first.finish_reason, first.timestamp, first.params) == ("stop", 1715785200, {"temperature": 0})
    assert first.origin == "" and "ann@" not in repr(first)


def test_a_request_without_its_response_and_a_line_without_a_reply_are_skipped() -> None:
    importer, context = ExchangeImporter(), ImportContext("f", 1)
    assert importer.parse({"request": {"messages": ASK}}, context) == context.skip(
        "a request without its response"
    )
    assert importer.parse({"messages": ASK}, context) == context.skip("no messages")
    assert not importer.sniff({"messages": [*ASK, SAY], "response": SAY})


def test_pieces_of_one_answer_are_no_choices(tmp_path: Path) -> None:
    row = {"input": {"prompt": "hello"}, "output": ["gree", "ting"], "metrics": {"predict_time": 0.8}}
    (call,) = calls_of(log(tmp_path / "replicate.jsonl", row))
    assert call.response == SAY


def test_bodies_of_gateways_and_proxies_are_found(tmp_path: Path) -> None:
    request, response = {"messages": ASK}, {"choices": [{"message": SAY}]}
    rows = [
        {"http": {"request": {"body": request}, "response": {"status": 200, "body": response}}},
        {
            "attributes": {
                "http.request.body": json.dumps(request),
                "http.response.body": json.dumps(response),
            }
        },
        {
            "ai": {"proxy": {"payload": {"request": json.dumps(request), "response": json.dumps(response)}}},
            "request": {"uri": "/", "method": "POST"},
            "response": {"status": 200},
        },
    ]
    assert [c.response["content"] for c in calls_of(log(tmp_path / "a.jsonl", *rows))] == ["greeting"] * 3
