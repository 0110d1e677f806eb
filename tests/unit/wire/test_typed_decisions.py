"""Typed decisions: the list of OpenAI's /v1/decisions and the names of /v1/systemone, read and written."""

from __future__ import annotations

import json
from typing import Any

import pytest
from openai.types import Decision

from deputize.core.errors import BadInput
from deputize.core.records import Call
from deputize.stages.curate.filters import off_schema
from deputize.wire import typed_decisions as decisions
from deputize.wire.dialect import ReplyHead
from deputize.wire.events import Completion
from deputize.wire.registry import DECISIONS, SYSTEM_ONE

LISTED: dict[str, Any] = {
    "model": "d1",
    "input": "I was charged twice!",
    "questions": [
        {"type": "predicate", "name": "refund", "instructions": "They want money back."},
        {
            "type": "choice",
            "name": "topic",
            "instructions": "What is it about?",
            "choices": [{"value": "billing", "description": "money"}, {"value": "login"}, {"value": True}],
        },
        {"type": "score", "instructions": "How urgent?", "levels": [{"label": "low"}, {"label": "high"}]},
    ],
    "prompt_cache_key": "k",
}
NAMED: dict[str, Any] = {
    "model": "s1",
    "state": {"mail": "I was charged twice!"},
    "questions": {
        "refund": {"type": "noul", "instructions": "They want money back."},
        "topic": {"type": "choice", "criteria": {"billing": "money", "login": None}},
        "urgency": {"type": "score", "criteria": ["low", "middle", "high"]},
    },
}
DECIDED = {"refund": True, "topic": "billing", "question_3": 1}
LISTED_ANSWERS = [
    {"type": "predicate", "name": "refund", "probability": 0.5},
    {
        "type": "choice",
        "name": "topic",
        "choice": "billing",
        "confidence": 0.8,
        "probabilities": [{"value": "billing", "probability": 0.9}],
    },
    {"type": "score", "name": None, "score": 0.6, "confidence": 0.2, "probabilities": []},
]


def content(reply: Completion) -> Any:
    return json.loads(reply.message["content"])


def written(request: dict[str, Any], decided: dict[str, Any], confidence: float | None = 0.9) -> Any:
    message = {"role": "assistant", "content": json.dumps(decided)}
    head = ReplyHead("dec_1", "d1", fields=request, confidence=confidence)
    return json.loads(decisions.encode_reply(Completion(message), head))


def test_a_request_asks_for_an_object_with_a_field_for_each_question() -> None:
    chat = DECISIONS.to_chat(LISTED)
    assert chat["messages"] == [{"role": "user", "content": "I was charged twice!"}]
    schema = chat["response_format"]["json_schema"]["schema"]
    assert list(schema["properties"]) == ["refund", "topic", "question_3"]
    assert schema["properties"]["topic"]["oneOf"][0] == {"const": "billing", "description": "money"}
    assert [level["title"] for level in schema["properties"]["question_3"]["oneOf"]] == ["low", "high"]
    assert DECISIONS.params(LISTED) == {"prompt_cache_key": "k"}


def test_another_word_in_a_question_is_another_task() -> None:
    schema = DECISIONS.to_chat(LISTED)["response_format"]
    for place, field in ((0, "instructions"), (1, "instructions"), (2, "instructions")):
        questions = [dict(q) for q in LISTED["questions"]]
        questions[place][field] += "?"
        assert DECISIONS.to_chat({**LISTED, "questions": questions})["response_format"] != schema


def test_json_messages_and_tool_results_are_text() -> None:
    items = [
        {"role": "developer", "content": "Be strict."},
        {"role": "user", "content": [{"type": "input_json", "data": {"a": [1]}}]},
        {"type": "function_call", "call_id": "c", "name": "look", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "found"},
    ]
    messages = DECISIONS.to_chat({**LISTED, "input": items})["messages"]
    assert [m["role"] for m in messages] == ["system", "user", "assistant", "tool"]
    assert messages[1]["content"] == [{"type": "text", "text": '{"a":[1]}'}]


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"questions": []}, "questions"),
        ({"questions": "?"}, "questions"),
        ({"input": ""}, "input"),
        ({"input": 3}, "input"),
        ({"stream": True}, "not streamed"),
    ],
)
def test_what_is_no_request_is_refused(changed: dict[str, Any], sentence: str) -> None:
    with pytest.raises(BadInput, match=sentence):
        DECISIONS.to_chat({**LISTED, **changed})
    with pytest.raises(BadInput, match="conversation"):
        DECISIONS.from_chat({"messages": []})


def test_a_state_is_text_and_either_form_is_taken_at_either_path() -> None:
    chat = SYSTEM_ONE.to_chat(NAMED)
    assert chat["messages"] == [{"role": "user", "content": '{"mail":"I was charged twice!"}'}]
    assert DECISIONS.to_chat(NAMED) == chat


def test_answers_become_the_options_that_are_compared_and_stay_with_their_probabilities() -> None:
    reply = DECISIONS.parse_reply({"model": "d1-x", "answers": LISTED_ANSWERS, "usage": {"input_tokens": 40}})
    assert content(reply) == DECIDED and reply.message["answers"] == LISTED_ANSWERS
    assert reply.usage is not None and reply.usage.prompt_tokens == 40 and reply.finish_reason == "stop"
    by_name = {
        "refund": {"type": "noul", "noul": 0.49},
        "topic": {"type": "choice", "choice": "login"},
        "urgency": {"type": "score", "score": 1.5},
    }
    assert content(SYSTEM_ONE.parse_reply({"answers": by_name})) == {
        "refund": False,
        "topic": "login",
        "urgency": 2,
    }


def test_refused_and_unreadable_answers_are_no_examples() -> None:
    refused = DECISIONS.parse_reply({"answers": [{"type": "refusal", "name": "topic"}, LISTED_ANSWERS[0]]})
    assert refused.message["refusal"] == "topic" and content(refused) == {"refund": True}
    for answers in (
        [{"type": "rank", "name": "x"}],
        ["x"],
        [{"type": "noul", "noul": "high"}],
        {"a": 1},
        None,
    ):
        assert DECISIONS.parse_reply({"answers": answers}).message["not_recorded"] == ["decisions"]
    failed = DECISIONS.parse_reply({"error": {"message": "overloaded"}})
    assert failed.error == "overloaded" and failed.message == {}
    assert DECISIONS.parse_reply([]).message["content"] == ""


def test_a_written_reply_is_one_that_openais_client_reads() -> None:
    reply = Decision.model_validate(written(LISTED, DECIDED))
    refund, topic, urgency = reply.answers
    assert refund.type == "predicate" and (refund.name, refund.probability) == ("refund", 0.9)
    assert topic.type == "choice" and topic.choice == "billing" and topic.confidence == 0.85
    assert [(p.value, p.probability) for p in topic.probabilities] == [
        ("billing", 0.9),
        ("login", 0.05),
        (True, 0.05),
    ]
    assert urgency.type == "score" and (urgency.name, urgency.score) == (None, 1.0)
    assert [(p.label, p.value, p.probability) for p in urgency.probabilities] == [
        ("low", 0, 0.1),
        ("high", 1, 0.9),
    ]


def test_named_answers_come_back_by_their_names() -> None:
    answers = written(NAMED, {"refund": False, "topic": "login", "urgency": 2}, 0.8)["answers"]
    assert answers == {
        "refund": {"type": "noul", "noul": 0.2},
        "topic": {
            "type": "choice",
            "choice": "login",
            "probabilities": {"billing": 0.2, "login": 0.8},
            "confidence": 0.6,
        },
        "urgency": {
            "type": "score",
            "score": 2.0,
            "probabilities": {"0": 0.1, "1": 0.1, "2": 0.8},
            "legend": {"0": "low", "1": "middle", "2": "high"},
            "confidence": 0.7,
        },
    }


@pytest.mark.parametrize("confidence", [None, 1.0, 0.6, 0.0])
@pytest.mark.parametrize("request_", [LISTED, NAMED])
def test_what_is_written_reads_back_as_what_was_decided(
    request_: dict[str, Any], confidence: float | None
) -> None:
    for question in decisions.questions_of(request_):
        for option in question.options:
            reply = decisions.parse_reply(written(request_, {question.name: option}, confidence))
            assert content(reply) == {question.name: option}


def test_a_question_that_was_not_decided_is_declined() -> None:
    assert written(LISTED, {"refund": True})["answers"][1:] == [
        {"type": "refusal", "name": "topic"},
        {"type": "refusal", "name": None},
    ]
    assert list(written(NAMED, {"refund": True})["answers"]) == ["refund"]


def test_only_options_of_the_questions_fit() -> None:
    def fits(**decided: Any) -> bool:
        return decisions.fits({"role": "assistant", "content": json.dumps(decided)}, LISTED)

    assert fits(**DECIDED) and fits(refund=False)
    assert not fits(topic="other") and not fits(question_3=True) and not fits(question_3=2)
    assert not fits(topic="true") and not fits(other=1) and not fits()


def test_answers_off_the_options_are_no_examples() -> None:
    chat = DECISIONS.to_chat(LISTED)
    for choice, reason in (("billing", None), ("else", "schema-invalid answer")):
        answers = [{"type": "choice", "name": "topic", "choice": choice}]
        response = DECISIONS.parse_reply({"answers": answers}).message
        call = Call(
            id="c", messages=chat["messages"], response=response, response_format=chat["response_format"]
        )
        assert off_schema(call) == reason


def test_questions_of_one_name_are_told_apart() -> None:
    twice = {"questions": [{"type": "predicate", "name": "a"}, {"type": "predicate", "name": "a"}, {}, "x"]}
    assert [(q.name, q.given, q.kind) for q in decisions.questions_of(twice)] == [
        ("a", "a", "predicate"),
        ("a'", "a", "predicate"),
        ("question_3", None, "other"),
    ]
