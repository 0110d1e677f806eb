"""What spans hold of calls."""

from __future__ import annotations

import json
from typing import Any

from tests.unit.gateway.test_call_telemetry import SERVED, call

from deputize.core.records import Usage
from deputize.gateway.span_records import Server, attributes_of, record_of
from deputize.gateway.trace_context import TraceContext

CONTEXT = TraceContext("a" * 32, "b" * 16, "c" * 16)
SERVER = Server("openai", "llm.example", 443)


def shown(with_content: bool = False, server: Server | None = SERVER, **more: Any) -> dict[str, Any]:
    fields = {
        "response": {"role": "assistant", "content": "the answer"},
        "agent": "desk",
        "episode": "order-17",
    }
    made = call(**{**fields, **more})
    return attributes_of(record_of(made, CONTEXT, task="intent", with_content=with_content), server)


def test_a_call_is_told_in_the_names_of_the_conventions() -> None:
    usage = Usage(prompt_tokens=9, completion_tokens=2, cached_tokens=4)
    found = shown(decision=SERVED, usage=usage, params={"temperature": 0.5, "stop": ["x"], "seed": True})
    assert found["gen_ai.operation.name"] == "chat" and found["gen_ai.provider.name"] == "openai"
    assert found["gen_ai.request.model"] == "gpt-4o" and found["gen_ai.request.temperature"] == 0.5
    assert (found["gen_ai.usage.input_tokens"], found["gen_ai.usage.output_tokens"]) == (9, 2)
    assert found["gen_ai.usage.cache_read.input_tokens"] == 4
    assert (found["server.address"], found["server.port"]) == ("llm.example", 443)
    assert found["deputize.route.id"] == "route-1" and found["deputize.task"] == "intent"
    assert "gen_ai.request.seed" not in found and "error.type" not in found


def test_no_text_and_no_name_of_a_run_is_told_unless_it_is_wanted() -> None:
    text = json.dumps(shown())
    for secret in ("secret", "the answer", "desk", "order-17"):
        assert secret not in text
    found = shown(with_content=True)
    assert json.loads(found["gen_ai.input.messages"]) == [
        {"role": "user", "parts": [{"type": "text", "content": "secret"}]}
    ]
    assert "the answer" in found["gen_ai.output.messages"] and found["gen_ai.conversation.id"] == "order-17"


def test_failures_and_specialists() -> None:
    assert shown(status=502)["error.type"] == "502" and shown(aborted=True)["error.type"] == "cut"
    assert shown(server=None)["gen_ai.provider.name"] == "deputize"
    assert shown(protocol="embeddings")["gen_ai.operation.name"] == "embeddings"


def test_a_trace_that_is_not_sampled_is_in_the_metrics_only() -> None:
    context = TraceContext("a" * 32, "b" * 16, sampled=False)
    assert record_of(call(), context, task="", with_content=False).trace_id == ""
