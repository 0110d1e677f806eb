"""Replies in all forms."""

from __future__ import annotations

import json
from typing import Any

import pytest

from deputize.stages.collect.importers.base import Unreadable
from deputize.stages.collect.importers.reply_formats import read_reply

SAY = {"role": "assistant", "content": "hi"}
CHAT: dict[str, Any] = {
    "choices": [{"message": SAY, "finish_reason": "stop"}],
    "model": "m",
    "usage": {"prompt_tokens": "3", "completion_tokens": 2.0},
}


@pytest.mark.parametrize(
    "raw",
    [
        "hi",
        SAY,
        {"content": "hi"},
        CHAT,
        json.dumps(CHAT),
        [SAY],
        [{"index": 0, "message": SAY, "finish_reason": "stop"}],
        {"model": "llama", "message": SAY, "done": True},
        {"choices": [{"text": "hi"}]},
        {"text": "hi"},
        {"output_text": "hi"},
        {"generated_text": "hi"},
        {"output": [SAY]},
        {
            "output": [{"type": "message", "content": [{"type": "output_text", "text": "hi"}]}],
            "status": "completed",
        },
        {"type": "message", "content": [{"type": "text", "text": "hi"}], "stop_reason": "end_turn"},
        [{"type": "text", "text": "hi"}],
        {"candidates": [{"content": {"parts": [{"text": "hi"}]}}]},
        {"output": {"message": {"content": [{"text": "hi"}]}}, "stopReason": "end_turn"},
        {"results": [{"outputText": "hi", "completionReason": "FINISH"}]},
        {"generation": "hi", "stop_reason": "stop"},
        'data: {"choices": [{"delta": {"content": "hi"}, "finish_reason": "stop"}]}\n\ndata: [DONE]\n\n',
        [
            {
                "choices": [{"delta": {"content": "hi"}, "finish_reason": "stop"}],
                "object": "chat.completion.chunk",
            }
        ],
        {"kwargs": {"content": "hi"}, "id": ["AIMessage"], "lc": 1},
    ],
)
def test_every_form_gives_the_same_message(raw: Any) -> None:
    assert read_reply(raw).message == SAY


def test_tokens_reasons_and_further_choices_are_kept() -> None:
    reply = read_reply(
        {**CHAT, "choices": [*CHAT["choices"], {"message": {"role": "assistant", "content": "ho"}}]}
    )
    assert reply.usage is not None and (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (3, 2)
    assert reply.finish_reason == "stop" and reply.others == [{"role": "assistant", "content": "ho"}]


@pytest.mark.parametrize("text", ['{"order_id": "A-7"}', "[1, 2]", '{"content": "x"}', "data: none"])
def test_an_answer_that_is_json_stays_the_answer(text: str) -> None:
    assert read_reply(text).message == {"role": "assistant", "content": text}


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        ({"error": {"message": "Rate limit reached", "code": "rate_limit_exceeded"}}, 429),
        ({"error": {"message": "no", "code": 503}}, 503),
        ({"type": "error", "error": {"type": "overloaded_error"}}, 529),
        ({"error": "broken"}, 500),
        ({"object": "response", "status": "failed", "error": {"message": "HTTP 502"}, "output": []}, 502),
    ],
)
def test_errors_are_failed_calls(raw: Any, status: int) -> None:
    reply = read_reply(raw)
    assert (reply.message, reply.error_status) == ({}, status)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (3, "not an object"),
        ({"role": "assistant"}, "neither content nor tool calls"),
        ({"role": "user", "content": "x"}, "not an assistant"),
        ({"choices": []}, "no choice"),
        ("ModelResponse(id='x', choices=[...])", "print of an object"),
        ({"foo": 1}, "neither content nor tool calls"),
    ],
)
def test_what_is_no_reply_is_named(raw: Any, reason: str) -> None:
    with pytest.raises(Unreadable, match=reason):
        read_reply(raw)


@pytest.mark.parametrize(
    "text",
    [
        "ChatCompletion(id='x', choices=[])",
        "[TextBlock(text='A', type='text')]",
        "content='A' additional_kwargs={} response_metadata={}",
        "<openai.types.chat.ChatCompletion object at 0x7f>",
        "{'choices': [f]}",
    ],
)
def test_a_printed_object_is_not_taken_for_an_answer(text: str) -> None:
    with pytest.raises(Unreadable, match="print of an object"):
        read_reply(text)


@pytest.mark.parametrize("text", ["Dear(est) friend", "{'label': 'x'}", "content is king", "<b>object</b>"])
def test_answers_that_look_a_little_like_one_stay(text: str) -> None:
    assert read_reply(text).message["content"] == text


def test_a_recorded_stream_has_the_time_of_its_first_chunk() -> None:
    chunk = {
        "object": "chat.completion.chunk",
        "created": 1760000000,
        "choices": [{"delta": {"content": "hi"}}],
    }
    assert read_reply([chunk]).created == 1760000000
    assert read_reply(f"data: {json.dumps(chunk)}\n\ndata: [DONE]\n\n").created == "1760000000"


def test_langchains_message_brings_its_tokens_and_model() -> None:
    about = {
        "usage_metadata": {"input_tokens": 9, "output_tokens": 1},
        "response_metadata": {"model_name": "m"},
    }
    reply = read_reply({"type": "ai", "content": "hi", **about})
    assert reply.usage is not None and (reply.usage.prompt_tokens, reply.model) == (9, "m")
