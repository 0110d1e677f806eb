"""Small invented samples of every log format, in the form that its documentation gives it, and the calls in them."""

from __future__ import annotations

import json
from typing import Any

from deputize.core.records import Call, Outcome, Usage
from deputize.stages.collect.importers.base import ImportContext
from deputize.stages.collect.importers.coding_agents import WITHOUT_SYSTEM
from deputize.testing.check_importer import Sample

ASK = [{"role": "system", "content": "Be short."}, {"role": "user", "content": "find a"}]
USER = ASK[1:]
SAY = {"role": "assistant", "content": "one"}
FUNCTION = {"name": "find", "arguments": '{"q":"a"}'}
CALLING = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "t1", "type": "function", "function": FUNCTION}],
}
TOOLS: list[dict[str, Any]] = [
    {"type": "function", "function": {"name": "find", "parameters": {"type": "object"}}}
]
USAGE = Usage(prompt_tokens=9, completion_tokens=2)
COUNTS = {"prompt_tokens": 9, "completion_tokens": 2}
T, START, END = 1760000000.0, "2025-10-09T08:53:20Z", "2025-10-09T08:53:20.500Z"
NANO, NANO_END = "1760000000000000000", "1760000000500000000"
CHAT = {"choices": [{"index": 0, "message": SAY, "finish_reason": "stop"}], "model": "m", "usage": COUNTS}
CHAT_CALLING = {
    "choices": [{"index": 0, "message": CALLING, "finish_reason": "tool_calls"}],
    "model": "m",
    "usage": COUNTS,
}
FAILED: dict[str, Any] = {"response": {}, "status": 429}
CONTEXT = ImportContext("log.jsonl", 1)


def call(id: str = "", messages: Any = None, response: Any = None, **more: Any) -> Call:
    return Call(
        id=id,
        messages=ASK if messages is None else messages,
        response=SAY if response is None else response,
        **more,
    )


def attributes(**given: Any) -> list[dict[str, Any]]:
    def value(raw: Any) -> dict[str, Any]:
        if isinstance(raw, int):
            return {"intValue": str(raw)}
        return {"stringValue": raw if isinstance(raw, str) else json.dumps(raw)}

    return [{"key": name.replace("__", "."), "value": value(raw)} for name, raw in given.items()]


def span(**given: Any) -> dict[str, Any]:
    return {
        "traceId": "tr",
        "spanId": "sp",
        "name": "chat",
        "startTimeUnixNano": NANO,
        "endTimeUnixNano": NANO_END,
        "attributes": attributes(**given),
        "status": {},
    }


def event(name: str, **body: Any) -> dict[str, Any]:
    values = [{"key": k, "value": {"stringValue": v}} for k, v in body.items()]
    return {
        "timeUnixNano": NANO,
        "traceId": "tr",
        "spanId": "sp",
        "eventName": f"gen_ai.{name}",
        "body": {"kvlistValue": {"values": values}},
    }


def turns(episode: str, **more: Any) -> list[Call]:
    """Two calls of a conversation."""
    more = {"group": episode, **more}
    return [
        call(f"{episode}-0", USER, CALLING, episode=episode, **more),
        call(
            f"{episode}-1",
            [*USER, CALLING, {"role": "tool", "content": "1", "tool_call_id": "t1"}],
            SAY,
            episode=episode,
            step=1,
            **more,
        ),
    ]


DIALOGUE = [*USER, CALLING, {"role": "tool", "content": "1", "tool_call_id": "t1"}, SAY]
LC_ASK = [
    {
        "lc": 1,
        "type": "constructor",
        "id": ["langchain", f"{name}Message"],
        "kwargs": {"content": m["content"]},
    }
    for name, m in zip(("System", "Human"), ASK, strict=True)
]
LC_SAY = {"lc": 1, "type": "constructor", "id": ["langchain", "AIMessage"], "kwargs": {"content": "one"}}

# fmt: off
SAMPLES: dict[str, list[Sample]] = {
    "calls": [
        ({"messages": ASK, "response": "one"}, call()),
        (
            {
                "id": "c1", "agent": "desk", "run_id": "r1", "task_id": 7, "step": 2, "messages": ASK, "tools": TOOLS,
                "response": CALLING, "user": "ann", "usage": COUNTS, "latency_s": 0.5, "timestamp": START,
            },
            call(
                "c1", response=CALLING, agent="desk", episode="r1", group="desk:7", step=2, tools=TOOLS,
                origin="pseudonym-3", usage=USAGE, latency_ms=500.0, timestamp=T,
            ),
        ),
        ({"prompt": "find a", "completion": "one", "system": "Be short."}, call()),
    ],
    "openai": [
        ({"request": {"messages": ASK}, "response": "one"}, call()),
        (
            {
                "request": {"method": "POST", "body": {"model": "m", "messages": ASK, "temperature": 0, "user": "ann"}},
                "response": {"status_code": 200, "body": {**CHAT, "created": 1760000000}},
            },
            call(
                model="m", params={"temperature": 0}, origin="pseudonym-3", usage=USAGE, timestamp=T, finish_reason="stop"
            ),
        ),
        ({"request": {"messages": ASK}, "response": {"error": {"message": "no", "code": 429}}}, call(**FAILED)),
    ],
    "conversations": [
        ({"messages": [*ASK, SAY]}, call()),
        (
            {"id": "c", "messages": DIALOGUE, "tools": TOOLS, "model": "m", "user": "ann"},
            [*turns("c", tools=TOOLS, model="m", origin="pseudonym-3")],
        ),
    ],
    "otel": [
        (
            span(
                gen_ai__operation__name="chat", gen_ai__response__model="m", gen_ai__conversation__id="s", enduser__id="ann",
                gen_ai__input__messages=[{"role": "user", "parts": [{"type": "text", "content": "find a"}]}],
                gen_ai__system_instructions=[{"type": "text", "content": "Be short."}],
                gen_ai__output__messages=[{"role": "assistant", "parts": [{"type": "text", "content": "one"}], "finish_reason": "stop"}],
                gen_ai__tool__definitions=[{"type": "function", "name": "find", "parameters": {"type": "object"}}],
                gen_ai__usage__input_tokens=9, gen_ai__usage__output_tokens=2,
            ),
            call(
                "sp", episode="s", group="s", origin="pseudonym-3", model="m", tools=TOOLS, usage=USAGE, latency_ms=500.0,
                timestamp=T, finish_reason="stop",
            ),
        ),
        (
            span(**{
                "llm.request.type": "chat", "gen_ai.prompt.0.role": "user", "gen_ai.prompt.0.content": "find a",
                "gen_ai.completion.0.role": "assistant", "gen_ai.completion.0.finish_reason": "tool_calls",
                "gen_ai.completion.0.tool_calls.0.id": "t1", "gen_ai.completion.0.tool_calls.0.name": "find",
                "gen_ai.completion.0.tool_calls.0.arguments": '{"q":"a"}', "llm.request.functions.0.name": "find",
                "llm.request.functions.0.parameters": '{"type":"object"}', "gen_ai.request.model": "m",
            }),
            call(
                "sp", USER, CALLING, episode="tr", group="tr", model="m", tools=TOOLS, latency_ms=500.0, timestamp=T,
                finish_reason="tool_calls",
            ),
        ),
        (
            span(**{
                "ai.operationId": "ai.generateText.doGenerate", "ai.prompt.messages": json.dumps(USER), "ai.model.id": "m",
                "ai.response.text": "one", "ai.response.finishReason": "stop", "ai.usage.promptTokens": 9,
                "ai.usage.completionTokens": 2, "ai.telemetry.functionId": "finder",
            }),
            call(
                "sp", USER, site="finder", episode="tr", group="tr", model="m", usage=USAGE, latency_ms=500.0, timestamp=T,
                finish_reason="stop",
            ),
        ),
        (
            {
                "name": "ChatCompletion", "context": {"trace_id": "tr", "span_id": "sp"}, "start_time": START, "end_time": END,
                "attributes": {
                    "openinference.span.kind": "LLM", "llm.model_name": "m", "session.id": "s", "llm.token_count.prompt": 9,
                    "llm.token_count.completion": 2, "llm.input_messages.0.message.role": "user",
                    "llm.input_messages.0.message.content": "find a", "llm.output_messages.0.message.role": "assistant",
                    "llm.output_messages.0.message.content": "one",
                },
            },
            call("sp", USER, episode="s", group="s", model="m", usage=USAGE, latency_ms=500.0, timestamp=T),
        ),
        (
            [event("user.message", content="find a"), event("choice", content="one", role="assistant", finish_reason="stop"),
             span(**{"gen_ai.operation.name": "chat", "gen_ai.response.model": "m"})],
            call("sp", USER, episode="tr", group="tr", model="m", latency_ms=500.0, timestamp=T, finish_reason="stop"),
        ),
    ],
    "langfuse": [
        (
            {
                "id": "o1", "traceId": "tr", "type": "GENERATION", "startTime": START, "endTime": END, "latency": 0.5, "model": "m",
                "input": {"messages": ASK, "tools": TOOLS}, "output": SAY, "usageDetails": {"input": 9, "output": 2}, "userId": "ann",
                "sessionId": "s", "calculatedTotalCost": 0.25, "level": "DEFAULT", "traceName": "desk",
            },
            call(
                "o1", agent="desk", episode="s", group="s", model="m", tools=TOOLS, origin="pseudonym-3", usage=USAGE,
                cost_usd=0.25, latency_ms=500.0, timestamp=T,
            ),
        ),
        (
            {
                "id": "o2", "trace_id": "tr", "type": "GENERATION", "start_time": "2025-10-09 08:53:20.000000",
                "input": json.dumps([*ASK, {"role": "tool", "content": TOOLS[0]}]), "output": "", "provided_model_name": "m",
                "level": "ERROR", "status_message": "429 slow down",
            },
            call("o2", episode="tr", group="tr", model="m", tools=TOOLS, timestamp=T, **FAILED),
        ),
        (
            {
                "id": "tr", "sessionId": "s", "userId": "ann", "scores": [{"name": "good", "value": 1}],
                "observations": [{"id": "o3", "traceId": "tr", "type": "GENERATION", "input": ASK, "output": "one"}],
            },
            call("o3", episode="s", group="s", origin="pseudonym-3", outcome=Outcome(reward=1.0, metric="good")),
        ),
    ],
    "litellm": [
        (
            {
                "id": "l1", "trace_id": "s", "call_type": "acompletion", "status": "success", "startTime": T, "endTime": T + 0.5,
                "model": "m", "metadata": {"user_api_key_alias": "desk"}, "response_cost": 0.25, "end_user": "ann", "messages": ASK,
                "response": CHAT, "model_parameters": {"temperature": 0, "tools": TOOLS},
            },
            call(
                "l1", agent="desk", episode="s", group="s", model="m", tools=TOOLS, params={"temperature": 0}, origin="pseudonym-3",
                usage=USAGE, cost_usd=0.25, latency_ms=500.0, timestamp=T, finish_reason="stop",
            ),
        ),
        (
            {
                "request_id": "l2", "call_type": "acompletion", "spend": 0.25, "startTime": START, "endTime": END, "model": "m",
                "messages": {}, "response": {}, "status": "failure", "session_id": "s",
                "metadata": {"error_information": {"error_code": "429"}}, "proxy_server_request": json.dumps({"messages": ASK}),
            },
            call("l2", episode="s", group="s", model="m", cost_usd=0.25, latency_ms=500.0, timestamp=T, **FAILED),
        ),
    ],
    "langsmith": [
        (
            {
                "id": "r1", "run_type": "llm", "start_time": START, "end_time": END, "session_id": "project", "trace_id": "tr",
                "extra": {"invocation_params": {"model": "m", "tools": TOOLS, "temperature": 0}, "metadata": {"thread_id": "s"}},
                "inputs": {"messages": [LC_ASK]}, "outputs": {
                    "generations": [[{"text": "one", "message": LC_SAY, "generation_info": {"finish_reason": "stop"}}]],
                    "llm_output": {"token_usage": COUNTS},
                },
                "feedback_stats": {"good": {"n": 1, "avg": 1.0}},
            },
            call(
                "r1", episode="s", group="s", model="m", tools=TOOLS, params={"temperature": 0}, usage=USAGE, latency_ms=500.0,
                timestamp=T, finish_reason="stop", outcome=Outcome(reward=1.0, metric="good"),
            ),
        ),
        (
            {
                "post": [{"id": "r2", "run_type": "llm", "start_time": 1760000000000, "inputs": {"messages": ASK, "model": "m"}}],
                "patch": [{"id": "r2", "end_time": 1760000000500, "outputs": CHAT}],
            },
            call("r2", episode="r2", group="r2", model="m", usage=USAGE, latency_ms=500.0, timestamp=T, finish_reason="stop"),
        ),
        (
            [
                {"event": "on_chat_model_start", "run_id": "r3", "time": START, "data": {"messages": [LC_ASK], "invocation_params": {"model": "m"}}},
                {"event": "on_llm_end", "run_id": "r3", "time": END, "data": {"generations": [[{"message": LC_SAY}]], "llm_output": {"token_usage": COUNTS}}},
            ],
            call("r3", model="m", usage=USAGE, latency_ms=500.0, timestamp=T),
        ),
    ],
    "bedrock": [
        (
            {
                "schemaType": "ModelInvocationLog", "timestamp": START, "requestId": "b1", "operation": "Converse", "modelId": "m",
                "requestMetadata": {"session": "s"}, "input": {"inputTokenCount": 9, "inputBodyJson": {
                    "messages": [{"role": "user", "content": [{"text": "find a"}]}], "system": [{"text": "Be short."}],
                    "toolConfig": {"tools": [{"toolSpec": {"name": "find", "inputSchema": {"json": {"type": "object"}}}}]},
                }},
                "output": {"outputTokenCount": 2, "outputBodyJson": {
                    "output": {"message": {"role": "assistant", "content": [{"toolUse": {"toolUseId": "t1", "name": "find", "input": {"q": "a"}}}]}},
                    "stopReason": "tool_use", "metrics": {"latencyMs": 500},
                }},
            },
            call(
                "b1", response=CALLING, episode="s", group="s", model="m", tools=TOOLS, usage=USAGE, latency_ms=500.0, timestamp=T,
                finish_reason="tool_calls",
            ),
        ),
        (
            {
                "schemaType": "ModelInvocationLog", "requestId": "b2", "operation": "InvokeModel", "modelId": "m",
                "errorCode": "ThrottlingException", "input": {"inputBodyJson": {
                    "anthropic_version": "x", "system": "Be short.", "messages": [{"role": "user", "content": "find a"}],
                }},
            },
            call("b2", model="m", params={"anthropic_version": "x"}, protocol="messages", **FAILED),
        ),
    ],
    "braintrust": [
        (
            {
                "id": "b1", "span_id": "sp", "root_span_id": "root", "span_attributes": {"type": "llm"}, "input": ASK,
                "output": CHAT["choices"], "metadata": {"model": "m", "tools": TOOLS, "session_id": "s", "user_id": "ann"},
                "metrics": {"start": T, "end": T + 0.5, **COUNTS, "estimated_cost": 0.25}, "scores": {"good": 1.0},
            },
            call(
                "b1", episode="s", group="s", model="m", tools=TOOLS, origin="pseudonym-3", usage=USAGE, cost_usd=0.25,
                latency_ms=500.0, timestamp=T, finish_reason="stop", outcome=Outcome(reward=1.0, metric="good"),
            ),
        ),
        (
            {"span_id": "sp", "root_span_id": "root", "span_attributes": {"type": "llm"}, "input": ASK, "output": None, "error": "429"},
            call("sp", episode="root", group="root", **FAILED),
        ),
    ],
    "weave": [
        (
            {
                "id": "w1", "op_name": "weave:///openai.chat", "thread_id": "s", "started_at": START, "ended_at": END,
                "inputs": {"self": {}, "model": "m", "messages": ASK, "tools": TOOLS}, "output": CHAT,
                "summary": {"weave": {"latency_ms": 500}},
            },
            call(
                "w1", episode="s", group="s", model="m", tools=TOOLS, usage=USAGE, latency_ms=500.0, timestamp=T, finish_reason="stop"
            ),
        ),
        (
            {"id": "w2", "op_name": "x", "trace_id": "tr", "inputs": {"messages": ASK}, "output": None, "exception": "429"},
            call("w2", episode="tr", group="tr", **FAILED),
        ),
    ],
    "mlflow": [
        (
            {
                "info": {"trace_id": "tr", "trace_metadata": {"mlflow.trace.session": "s", "mlflow.trace.user": "ann"}},
                "data": {"spans": [
                    {
                        "span_id": "sp", "start_time_unix_nano": int(NANO), "end_time_unix_nano": int(NANO_END), "attributes": {
                            "mlflow.spanType": '"CHAT_MODEL"', "mlflow.spanInputs": json.dumps({"messages": ASK, "model": "m"}),
                            "mlflow.spanOutputs": json.dumps(CHAT), "mlflow.chat.tools": json.dumps(TOOLS),
                        },
                    },
                ]},
            },
            call(
                "tr-sp", episode="s", group="s", model="m", tools=TOOLS, origin="pseudonym-3", usage=USAGE, latency_ms=500.0,
                timestamp=T, finish_reason="stop",
            ),
        ),
        (
            {
                "span_id": "sp", "trace_id": "tr", "status": {"code": "STATUS_CODE_ERROR", "message": "429"}, "attributes": {
                    "mlflow.spanType": '"LLM"', "mlflow.spanInputs": json.dumps({"messages": ASK}),
                },
            },
            call("tr-sp", episode="tr", group="tr", **FAILED),
        ),
    ],
    "tensorzero": [
        (
            {
                "id": "z1", "function_name": "finder", "variant_name": "v", "episode_id": "s", "timestamp": "2025-10-09 08:53:20",
                "input": json.dumps({"system": "Be short.", "messages": [{"role": "user", "content": [{"type": "text", "text": "find a"}]}]}),
                "output": json.dumps([{"type": "tool_call", "id": "t1", "name": "find", "arguments": {"q": "a"}}]),
                "tool_params": json.dumps({"tools_available": [TOOLS[0]["function"]]}), "processing_time_ms": 500,
                "tags": {"user_id": "ann"},
            },
            call(
                "z1", response=CALLING, site="finder", episode="s", group="s", model="v", tools=TOOLS, origin="pseudonym-3",
                latency_ms=500.0, timestamp=T,
            ),
        ),
        (
            {
                "id": "z2", "inference_id": "i2", "raw_request": json.dumps({"messages": ASK, "model": "m"}),
                "raw_response": json.dumps(CHAT), "input_tokens": 9, "output_tokens": 2, "response_time_ms": 500,
            },
            call("i2", model="m", usage=USAGE, latency_ms=500.0, finish_reason="stop"),
        ),
    ],
    "datadog": [
        (
            {
                "id": "sp", "type": "span", "attributes": {
                    "span_id": "sp", "span_kind": "llm", "ml_app": "desk", "model_name": "m", "trace_id": "tr", "start_ns": int(NANO),
                    "duration": 500000000, "tags": ["session_id:s"], "metrics": {"input_tokens": 9, "output_tokens": 2},
                    "input": {"messages": ASK}, "output": {"messages": [{"role": "assistant", "content": "", "tool_calls": [
                        {"name": "find", "arguments": {"q": "a"}, "tool_id": "t1"},
                    ]}]},
                    "tool_definitions": [{"name": "find", "schema": {"type": "object"}}],
                },
            },
            call(
                "sp", response=CALLING, agent="desk", episode="s", group="s", model="m", tools=TOOLS, usage=USAGE, latency_ms=500.0,
                timestamp=T,
            ),
        ),
        (
            {"span_id": "sp2", "span_kind": "llm", "ml_app": "desk", "trace_id": "tr", "input": {"messages": ASK}, "output": {"messages": [SAY]}},
            call("sp2", agent="desk", episode="tr", group="tr"),
        ),
    ],
    "azure-apim": [
        (
            [
                {"CorrelationId": "a1", "SequenceNumber": 0, "ModelName": "m", "PromptTokens": 9, "CompletionTokens": 2, "TimeGenerated": START},
                {"CorrelationId": "a1", "SequenceNumber": 2, "RequestMessages": json.dumps(ASK)[20:], "ResponseMessages": json.dumps([SAY])},
                {"CorrelationId": "a1", "SequenceNumber": 1, "RequestMessages": json.dumps(ASK)[:20]},
            ],
            call("a1", model="m", usage=USAGE, timestamp=T),
        ),
        (
            {"CorrelationId": "a2", "SequenceNumber": 1, "RequestMessages": json.dumps(ASK), "ResponseMessages": json.dumps([SAY])},
            call("a2"),
        ),
    ],
    "portkey": [
        (
            {
                "id": "p1", "trace_id": "s", "created_at": START, "request": {"messages": ASK, "model": "m"}, "response": CHAT,
                "ai_org": "openai", "cost": 25, "response_time": 500, "response_status_code": 200, "metadata": {"_user": "ann"},
            },
            call(
                "p1", episode="s", group="s", model="m", origin="pseudonym-3", usage=USAGE, cost_usd=0.25, latency_ms=500.0,
                timestamp=T, finish_reason="stop",
            ),
        ),
        (
            {"id": "p2", "request": {"messages": ASK}, "response": {}, "ai_org": "openai", "response_status_code": 429, "is_success": False},
            call("p2", **FAILED),
        ),
    ],
    "dspy": [
        (
            {
                "messages": ASK, "prompt": None, "kwargs": {"temperature": 0, "tools": TOOLS}, "response": "ModelResponse(...)",
                "outputs": ["one"], "usage": COUNTS, "cost": 0.25, "timestamp": START, "uuid": "d1", "response_model": "m",
            },
            call("d1", model="m", tools=TOOLS, params={"temperature": 0}, usage=USAGE, cost_usd=0.25, timestamp=T),
        ),
        (
            {"prompt": "find a", "kwargs": {}, "outputs": [{"text": None, "tool_calls": CALLING["tool_calls"]}]},
            call(messages=USER, response=CALLING),
        ),
    ],
    "batch": [
        (
            [
                {"custom_id": "b1", "method": "POST", "url": "/v1/chat/completions", "body": {"messages": ASK, "model": "m"}},
                {"id": "x", "custom_id": "b1", "response": {"status_code": 200, "body": CHAT}, "error": None},
            ],
            call("b1", model="m", usage=USAGE, finish_reason="stop"),
        ),
        (
            [
                {"custom_id": "b2", "result": {"type": "errored", "error": {"type": "rate_limit_error"}}},
                {"custom_id": "b2", "params": {"messages": USER, "system": "Be short.", "max_tokens": 5}},
            ],
            call("b2", params={"max_tokens": 5}, protocol="messages", **FAILED),
        ),
    ],
    "har": [
        (
            {
                "startedDateTime": START, "time": 500, "request": {
                    "method": "POST", "url": "https://x/v1/chat/completions", "postData": {"text": json.dumps({"messages": ASK, "model": "m"})},
                },
                "response": {"status": 200, "content": {"text": json.dumps(CHAT)}},
            },
            call(model="m", usage=USAGE, latency_ms=500.0, timestamp=T, finish_reason="stop"),
        ),
        (
            {
                "startedDateTime": START, "request": {"url": "https://x/v1/chat/completions", "postData": {"text": json.dumps({"messages": ASK})}},
                "response": {"status": 429, "content": {}},
            },
            call(timestamp=T, **FAILED),
        ),
    ],
    "vcr": [
        (
            {"interactions": [{
                "request": {"uri": "https://x/v1/chat/completions", "body": json.dumps({"messages": ASK, "model": "m"})},
                "response": {"status": {"code": 200}, "body": {"string": json.dumps(CHAT, indent=1) + "\n"}},
            }]},
            call(model="m", usage=USAGE, finish_reason="stop"),
        ),
        (
            {
                "request": {"uri": "https://x/v1/messages", "body": json.dumps({"messages": ASK[1:], "system": "Be short."})},
                "response": {"status": {"code": 429}, "body": {"string": "{}"}},
            },
            call(protocol="messages", **FAILED),
        ),
    ],
    "tau-bench": [
        (
            {"task_id": 3, "trial": 0, "reward": 1.0, "traj": DIALOGUE},
            turns("task-3-trial-0", group=":3", outcome=Outcome(reward=1.0, metric="reward")),
        ),
        ({"task_id": 4, "trial": 1, "reward": 0.0, "traj": [*ASK, SAY]},
         call("task-4-trial-1", episode="task-4-trial-1", group=":4", outcome=Outcome(reward=0.0, metric="reward"))),
    ],
    "swe-agent": [
        (
            {"history": [{**m, "agent": "main"} for m in [*ASK, SAY]], "trajectory": [], "info": {"exit_status": "submitted"}},
            call(),
        ),
        (
            {"history": [*ASK, SAY], "trajectory": [], "info": {"resolved": True}, "instance_id": "i"},
            call(group=":i", outcome=Outcome(success=True, metric="resolved")),
        ),
    ],
    "agentdojo": [
        (
            {
                "suite_name": "bank", "pipeline_name": "m", "user_task_id": "u1", "utility": True, "messages": [
                    {"role": "user", "content": [{"type": "text", "content": "find a"}]},
                    {"role": "assistant", "content": None, "tool_calls": [{"function": "find", "args": {"q": "a"}, "id": "t1"}]},
                    {"role": "tool", "content": [{"type": "text", "content": "1"}], "tool_call_id": "t1"},
                    {"role": "assistant", "content": [{"type": "text", "content": "one"}]},
                ],
            },
            turns("bank/m/u1", group=":bank/u1", site="bank", model="m", outcome=Outcome(success=True, metric="utility")),
        ),
        (
            {"suite_name": "bank", "user_task_id": "u2", "messages": [*ASK, SAY]},
            call("bank/u2", episode="bank/u2", group=":bank/u2", site="bank"),
        ),
    ],
    "inspect": [
        (
            {
                "id": 1, "epoch": 1, "input": "find a", "scores": {"match": {"value": "C"}}, "attachments": {"x": "find a"}, "messages": [],
                "events": [{
                    "event": "model", "timestamp": START, "model": "p/m", "input": [{"id": "m1", "role": "user", "content": "attachment://x"}],
                    "tools": [TOOLS[0]["function"]], "tool_choice": "auto", "output": {
                        "model": "m", "time": 0.5, "usage": {"input_tokens": 9, "output_tokens": 2}, "choices": [{
                            "message": {"role": "assistant", "content": "", "tool_calls": [{"id": "t1", "function": "find", "arguments": {"q": "a"}}]},
                            "stop_reason": "tool_calls",
                        }],
                    },
                }],
            },
            call(
                "1-1-0", USER, CALLING, episode="1-1", group="1", model="m", tools=TOOLS, tool_choice="auto", usage=USAGE,
                latency_ms=500.0, timestamp=T, finish_reason="tool_calls", outcome=Outcome(reward=1.0, success=True, metric="match"),
            ),
        ),
        (
            {"eval": {"run_id": "r", "task": "t"}, "plan": {}, "samples": [{"id": 2, "epoch": 1, "messages": [*ASK, SAY]}]},
            call("r-2-1", episode="r-2-1", group="t:2", agent="t"),
        ),
    ],
    "openhands": [
        (
            [
                {"id": 0, "source": "user", "action": "message", "args": {"content": "find a"}},
                {"id": 1, "source": "agent", "action": "run", "tool_call_metadata": {"tool_call_id": "t1", "model_response": {"id": "r1", **CHAT_CALLING}}},
                {"id": 2, "source": "agent", "observation": "run", "content": "1", "tool_call_metadata": {"tool_call_id": "t1", "model_response": {"id": "r1", **CHAT_CALLING}}},
                {"id": 3, "source": "agent", "action": "finish", "tool_call_metadata": {"model_response": {"id": "r2", **CHAT}}},
            ],
            [
                call("r1", USER, CALLING, episode="run-r1", group="run-r1", model="m", usage=USAGE, finish_reason="tool_calls"),
                call(
                    "r2", [*USER, CALLING, {"role": "tool", "tool_call_id": "t1", "content": "1"}], SAY,
                    episode="run-r1", group="run-r1", step=1, model="m", usage=USAGE, finish_reason="stop",
                ),
            ],
        ),
        (
            [
                {"id": 0, "source": "user", "action": "message", "args": {"content": "find a"}},
                {"id": 1, "source": "agent", "action": "finish", "tool_call_metadata": {"model_response": {"id": "r9", **CHAT}}},
            ],
            call("r9", USER, episode="run-r9", group="run-r9", model="m", usage=USAGE, finish_reason="stop"),
        ),
    ],
    "atif": [
        (
            {
                "schema_version": "ATIF-v1.5", "session_id": "s", "agent": {"name": "desk", "model_name": "m", "tool_definitions": TOOLS},
                "steps": [
                    {"source": "user", "message": "find a"},
                    {"source": "agent", "message": "", "tool_calls": [{"tool_call_id": "t1", "function_name": "find", "arguments": {"q": "a"}}],
                     "observation": {"results": [{"source_call_id": "t1", "content": "1"}]}, "metrics": COUNTS},
                    {"source": "agent", "message": "one", "metrics": COUNTS},
                ],
            },
            turns("s", agent="desk", model="m", tools=TOOLS, usage=USAGE),
        ),
        (
            {"schema_version": "ATIF-v1.5", "session_id": "s", "agent": {}, "steps": [{"source": "user", "message": "find a"}, {"source": "agent", "message": "one"}]},
            call("s", USER, episode="s", group="s"),
        ),
    ],
    "bfcl": [
        (
            {
                "id": "f1", "result": [{"find": '{"q":"a"}'}], "latency": 0.5, "input_token_count": 9, "output_token_count": 2,
                "inference_log": [{"role": "inference_input", "content": {"message": "[{'role': 'user', 'content': 'find a'}]", "tools": TOOLS}}],
            },
            call(
                "f1", USER, {"role": "assistant", "content": None, "tool_calls": [{"id": "call_0", "type": "function", "function": FUNCTION}]},
                tools=TOOLS, usage=USAGE, latency_ms=500.0,
            ),
        ),
        (
            {"id": "f2", "result": "one", "inference_log": [{"role": "inference_input", "content": {"message": USER}}]},
            call("f2", USER),
        ),
    ],
    "claude-code": [
        (
            [
                {"type": "user", "uuid": "1", "sessionId": "s", "message": {"role": "user", "content": "find a"}},
                {"type": "assistant", "uuid": "2", "sessionId": "s", "timestamp": START, "message": {
                    "id": "m1", "role": "assistant", "model": "m", "content": [{"type": "text", "text": "on"}],
                }},
                {"type": "assistant", "uuid": "3", "sessionId": "s", "message": {
                    "id": "m1", "role": "assistant", "content": [{"type": "text", "text": "e"}], "usage": {"input_tokens": 9, "output_tokens": 2},
                }},
            ],
            [
                call("s", USER, episode="s", group="s", agent="claude-code", model="m", usage=USAGE, timestamp=T, source="transcript"),
                CONTEXT.no_call(WITHOUT_SYSTEM),
            ],
        ),
        (
            [
                {"type": "user", "uuid": "1", "sessionId": "t", "message": {"role": "user", "content": "find a"}},
                {"type": "assistant", "uuid": "2", "sessionId": "t", "message": {"id": "m1", "role": "assistant", "content": [
                    {"type": "tool_use", "id": "t1", "name": "find", "input": {"q": "a"}},
                ]}},
            ],
            [
                call("t", USER, CALLING, episode="t", group="t", agent="claude-code", source="transcript"),
                CONTEXT.no_call(WITHOUT_SYSTEM),
            ],
        ),
    ],
    "codex": [
        (
            [
                {"type": "session_meta", "timestamp": START, "payload": {"id": name}},
                {"type": "turn_context", "payload": {"model": "m"}},
                {"type": "response_item", "payload": {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "find a"}]}},
                {"type": "event_msg", "payload": {"type": "agent_message", "message": "one"}},
                {"type": "response_item", "payload": {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "one"}]}},
            ],
            [
                call(name, USER, episode=name, group=name, agent="codex", model="m", timestamp=T, source="transcript"),
                CONTEXT.no_call(WITHOUT_SYSTEM),
            ],
        )
        for name in ("s", "t")
    ],
    "gemini-cli": [
        (
            {
                "sessionId": "s", "projectHash": "h", "messages": [
                    {"id": "1", "timestamp": START, "type": "user", "content": [{"text": "find a"}]},
                    {"id": "2", "timestamp": START, "type": "gemini", "content": "", "model": "m", "tokens": {"input": 9, "output": 2}, "toolCalls": [
                        {"id": "t1", "name": "find", "args": {"q": "a"}, "result": [{"functionResponse": {"name": "find", "response": {"output": "1"}}}]},
                    ]},
                ],
            },
            [
                call("s", USER, CALLING, episode="s", group="s", agent="gemini-cli", model="m", usage=USAGE, timestamp=T, source="transcript"),
                CONTEXT.no_call(WITHOUT_SYSTEM),
            ],
        ),
        (
            [
                {"sessionId": "t", "projectHash": "h"},
                {"id": "1", "timestamp": START, "type": "user", "content": "find b"},
                {"$rewindTo": "1"},
                {"id": "2", "timestamp": START, "type": "user", "content": "find a"},
                {"id": "3", "timestamp": START, "type": "gemini", "content": "one"},
            ],
            [
                call("t", USER, episode="t", group="t", agent="gemini-cli", timestamp=T, source="transcript"),
                CONTEXT.no_call(WITHOUT_SYSTEM),
            ],
        ),
    ],
    "chatgpt": [
        (
            {
                "conversation_id": "c", "current_node": "n2", "mapping": {
                    "n0": {"message": None, "parent": None},
                    "n1": {"parent": "n0", "message": {"author": {"role": "user"}, "content": {"content_type": "text", "parts": ["find a"]}}},
                    "n2": {"parent": "n1", "message": {
                        "author": {"role": "assistant"}, "content": {"content_type": "text", "parts": ["one"]}, "create_time": T,
                        "metadata": {"model_slug": "m"},
                    }},
                    "other": {"parent": "n1", "message": {"author": {"role": "assistant"}, "content": {"content_type": "text", "parts": ["two"]}}},
                },
            },
            call("c", USER, episode="c", group="c", model="m", timestamp=T),
        ),
        (
            {
                "conversation_id": "d", "current_node": "n1", "mapping": {
                    "n0": {"message": {"author": {"role": "user"}, "content": {"content_type": "text", "parts": ["find a"]}}},
                    "n1": {"parent": "n0", "message": {"author": {"role": "assistant"}, "content": {"content_type": "text", "parts": ["one"]}}},
                },
            },
            call("d", USER, episode="d", group="d"),
        ),
    ],
    "openai-assistants": [
        (
            [
                {"object": "thread.message", "thread_id": name, "created_at": 1760000000, "role": "assistant", "content": [{"type": "text", "text": {"value": "one"}}]},
                {"object": "thread.message", "thread_id": name, "created_at": 1759999999, "role": "user", "content": [{"type": "text", "text": {"value": "find a"}}]},
            ],
            call(name, USER, episode=name, group=name, timestamp=T),
        )
        for name in ("s", "t")
    ],
    "llamaindex": [
        ({"class_name": "SimpleChatStore", "store": {"ann": [*ASK, SAY]}}, call(origin="pseudonym-3")),
        ({"class_name": "SimpleChatStore", "store": {"a": [{"role": "user", "blocks": [{"block_type": "text", "text": "find a"}]}, SAY]}}, call("", USER, origin="pseudonym-1")),
    ],
    "continue": [
        (
            {"sessionId": "s", "history": [{"message": USER[0]}, {"message": SAY}]},
            call("s", USER, episode="s", group="s"),
        ),
        (
            {
                "eventName": "chatInteraction", "prompt": "<system>\nBe short.\n\n<user>\nfind a", "completion": "one", "sessionId": "s",
                "modelName": "m", "timestamp": START,
            },
            call(episode="s", group="s", model="m", timestamp=T),
        ),
    ],
    "hermes": [
        (
            {"id": "h", "tools": json.dumps(TOOLS), "conversations": [
                {"from": "human", "value": "find a"},
                {"from": "gpt", "value": '<tool_call>\n{"name": "find", "arguments": {"q": "a"}}\n</tool_call>'},
                {"from": "tool", "value": "<tool_response>\n1\n</tool_response>"},
            ]},
            call("h", USER, {"role": "assistant", "content": None, "tool_calls": [{"id": "call_0", "type": "function", "function": FUNCTION}]}, tools=TOOLS),
        ),
        (
            {"id": "i", "system": "Be short.", "conversations": [
                {"from": "human", "value": "find a"},
                {"from": "gpt", "value": "so <tool_call>{'name': 'find', 'arguments': {'q': 'a'}}</tool_call>"},
            ]},
            call("i", response={"role": "assistant", "content": "so", "tool_calls": [{"id": "call_0", "type": "function", "function": FUNCTION}]}),
        ),
    ],
    "glaive": [
        (
            {"system": "SYSTEM: Be short.", "chat": "USER: find a\n\n\nASSISTANT: one <|endoftext|>"},
            call(),
        ),
        (
            {"system": "SYSTEM: Be short.", "chat": "USER: find a\n\n\nASSISTANT: <functioncall> {\"name\": \"find\", \"arguments\": '{\"q\":\"a\"}'} <|endoftext|>"},
            call(response={"role": "assistant", "content": None, "tool_calls": [{"id": "call_0", "type": "function", "function": FUNCTION}]}),
        ),
    ],
    "instructions": [
        ({"instruction": "find", "input": "a", "output": "one"}, call("", [{"role": "user", "content": "find\n\na"}])),
        (
            {"id": 0, "query": "find a", "answers": '[{"name": "find", "arguments": {"q": "a"}}]', "tools": json.dumps([TOOLS[0]["function"]])},
            call("0", USER, {"role": "assistant", "content": None, "tool_calls": [{"id": "call_0", "type": "function", "function": FUNCTION}]}, tools=TOOLS),
        ),
        (
            {"input": {"messages": ASK, "tools": TOOLS}, "preferred_output": [SAY], "non_preferred_output": [{"role": "assistant", "content": "two"}]},
            call(tools=TOOLS),
        ),
        ({"chosen": [*ASK, SAY], "rejected": [*ASK, SAY]}, call()),
    ],
}
