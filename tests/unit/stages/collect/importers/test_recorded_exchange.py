"""Calls from requests and responses of any protocol."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deputize.core.records import Call
from deputize.stages.collect.import_logs import read_calls
from deputize.stages.collect.importers.base import ImportContext, Unreadable
from deputize.stages.collect.importers.recorded_exchange import exchange_calls
from deputize.wire.dialect import Dialect
from deputize.wire.registry import DECISIONS, SYSTEM_ONE

ASK = [{"role": "system", "content": "Route."}, {"role": "user", "content": "hello"}]
SAY = {"role": "assistant", "content": "greeting"}


def log(path: Path, *rows: Any) -> Path:
    path.write_text("\n".join(r if isinstance(r, str) else json.dumps(r) for r in rows) + "\n", "utf-8")
    return path


def calls_of(path: Path, **options: Any) -> list[Call]:
    out = list(read_calls(path, **options))
    assert all(isinstance(c, Call) for c in out), out
    return [c for c in out if isinstance(c, Call)]


def test_origins_are_pseudonyms(tmp_path: Path) -> None:
    row = {"request": {"messages": ASK, "user": "ann"}, "response": SAY, "metadata": {"user_id": "bob"}}
    (call,) = calls_of(log(tmp_path / "a.jsonl", row), pseudonym=lambda raw, tenant: f"<{len(raw)} {tenant}>")
    assert call.origin == "<3 default>" and call.params == {}


def test_old_function_calls_become_tool_calls(tmp_path: Path) -> None:
    reply = {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}}
    row = {
        "messages": [*ASK, reply, {"role": "function", "name": "f", "content": "1"}],
        "response": reply,
        "functions": [{"name": "f"}],
    }
    (call,) = calls_of(log(tmp_path / "a.jsonl", row))
    assert call.response["tool_calls"][0]["function"]["name"] == "f" and "function_call" not in call.response
    assert call.tools == [{"type": "function", "function": {"name": "f"}}]


def chat(row: dict[str, Any]) -> Call:
    call = exchange_calls(row, {"messages": row["messages"]}, row.get("response"), ImportContext("f", 1))
    assert isinstance(call, Call)
    return call


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (1715785200, 1715785200.0),
        (1715785200123, 1715785200.123),
        ("2024-05-15T15:00:00Z", 1715785200.0),
        ("2024-05-15T17:00:00+02:00", 1715785200.0),
        ("2024-05-15T15:00:00", 1715785200.0),
        ("yesterday", None),
        (-5, None),
        (True, None),
    ],
)
def test_times_are_unix_seconds(value: Any, seconds: float | None) -> None:
    assert chat({"messages": ASK, "response": SAY, "created_at": value}).timestamp == seconds


def test_settings_are_kept_without_persons_and_credentials() -> None:
    params = {
        "temperature": 0,
        "user": "ann",
        "api-key": "s",
        "Authorization": "s",
        "extra_headers": {"k": "s"},
    }
    assert chat({"messages": ASK, "response": SAY, "params": params}).params == {"temperature": 0}


def test_numbers_of_the_wrong_type_are_left_out() -> None:
    call = chat(
        {"messages": ASK, "response": SAY, "step": "2", "status": None, "cost_usd": 10**400, "usage": [1]}
    )
    assert (call.step, call.status, call.cost_usd, call.usage) == (0, 200, None, None)


def test_a_role_of_another_type_is_unreadable() -> None:
    with pytest.raises(Unreadable, match="known role"):
        chat({"messages": [{"role": ["user"], "content": "x"}], "response": SAY})


QUESTIONS: list[Any] = [
    {"type": "predicate", "name": "refund", "instructions": "They want money back."},
    {"type": "choice", "name": "topic", "choices": [{"value": "billing"}, {"value": "login"}]},
]
ANSWERS: list[Any] = [
    {"type": "predicate", "name": "refund", "probability": 0.7},
    {"type": "choice", "name": "topic", "choice": "billing", "confidence": 0.4, "probabilities": []},
]
NAMED = {
    "refund": {"type": "noul"},
    "topic": {"type": "choice", "criteria": {"billing": None, "login": None}},
}
TOKENS = {"input_tokens": 40, "output_tokens": 0, "input_tokens_details": {"cached_tokens": 8}}
LISTED = (
    {"model": "d1", "input": "charged twice", "questions": QUESTIONS, "user": "ann"},
    ANSWERS,
    DECISIONS,
)
BY_NAME = (
    {"model": "s1", "state": {"mail": "charged twice"}, "questions": NAMED},
    {"refund": {"type": "noul", "noul": 0.7}, "topic": {"type": "choice", "choice": "billing"}},
    SYSTEM_ONE,
)


@pytest.mark.parametrize(("request_body", "answers", "dialect"), [LISTED, BY_NAME])
@pytest.mark.parametrize("kind", ["pair", "text", "har"])
def test_typed_decisions_are_read_as_the_gateway_records_them(
    tmp_path: Path, request_body: dict[str, Any], answers: Any, dialect: Dialect, kind: str
) -> None:
    reply = {"model": f"{request_body['model']}-2026", "answers": answers, "usage": TOKENS}
    asked, answered = json.dumps(request_body), json.dumps(reply)
    rows: dict[str, dict[str, Any]] = {
        "pair": {"request": request_body, "response": reply},
        "text": {"request_body": asked, "response_body": answered},
        "har": {
            "startedDateTime": "2024-05-15T15:00:00Z",
            "request": {"url": f"https://llm{dialect.path}", "postData": {"text": asked}},
            "response": {"status": 200, "content": {"text": answered}},
        },
    }
    (call,) = calls_of(log(tmp_path / "a.jsonl", rows[kind]))
    chat, said = dialect.to_chat(request_body), dialect.parse_reply(reply)
    assert (call.messages, call.response_format) == (chat["messages"], chat["response_format"])
    assert call.response == said.message and json.loads(call.response["content"]) == {
        "refund": True,
        "topic": "billing",
    }
    assert (call.protocol, call.model, call.finish_reason) == (dialect.name, request_body["model"], "stop")
    assert call.usage == said.usage and call.params == {} and call.status == 200


def test_questions_and_answers_of_other_requests_are_no_decisions() -> None:
    form = {"messages": ASK, "questions": ["how are you?"]}
    call = exchange_calls(form, form, {"content": "fine", "answers": ["yes"]}, ImportContext("a", 1))
    assert isinstance(call, Call) and call.protocol == "chat" and call.response["content"] == "fine"
    quiz = {"input": "Answer these.", "questions": [{"type": "essay"}]}
    call = exchange_calls(quiz, quiz, "An essay.", ImportContext("a", 1))
    assert isinstance(call, Call) and call.protocol == "responses"
