"""Calls that a specialist may take: served, streamed, refused, failed, shadowed, shared out, swapped under load."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import openai
import pytest
from anthropic import AsyncAnthropic
from tests.integration.gateway.specialists import (
    CERTIFICATE,
    InMemorySpecialists,
    failing,
    publish,
    route_for,
    saying,
)
from tests.integration.gateway.upstream import LoopbackUpstream, Stream, Whole, completion, text_stream

from deputize.core.contracts import DEFER
from deputize.core.judging import JudgeEvidence
from deputize.core.records import Call, Contract, Field, Request
from deputize.core.text_measures import TextMeasure
from deputize.gateway.launch import running_gateway
from deputize.gateway.settings import settings_for

Recorded = Callable[[int], list[Call]]
MESSAGES: list[Any] = [
    {"role": "system", "content": "Say the intent."},
    {"role": "user", "content": "my card is gone"},
]
REQUEST = Request(messages=MESSAGES)
LABELS = Contract(kind="label", labels=["lost_card", "transfer"])
TOOLS: list[Any] = [
    {
        "type": "function",
        "function": {
            "name": "block_card",
            "parameters": {"type": "object", "properties": {"id": {"type": "string"}}},
        },
    }
]


@asynccontextmanager
async def served(
    home: Path, upstream: LoopbackUpstream, specialists: InMemorySpecialists, **changed: Any
) -> AsyncIterator[str]:
    given = {"route_poll_s": 0.02, "audit_share": 0.0, **changed}
    settings = settings_for(home, upstream.base_url).model_copy(update=given)
    async with running_gateway(home, settings=settings, specialists=specialists) as base_url:
        yield base_url


def client_of(base_url: str) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(base_url=f"{base_url}/v1", api_key="k", max_retries=0)


async def ask(
    base_url: str, messages: list[Any] = MESSAGES, headers: dict[str, str] | None = None, **more: Any
) -> Any:
    async with client_of(base_url) as client:
        return await client.chat.completions.with_raw_response.create(
            model="big", messages=messages, extra_headers=headers or {}, **more
        )


async def test_specialist_answers_a_label(home: Path, upstream: LoopbackUpstream, recorded: Recorded) -> None:
    publish(home, route_for(REQUEST, LABELS))
    specialists = InMemorySpecialists(saying("lost_card"))
    async with served(home, upstream, specialists) as base_url:
        raw = await ask(base_url)
        answer = raw.parse()
        assert answer.choices[0].message.content == "lost_card" and answer.choices[0].finish_reason == "stop"
        assert answer.model == "big" and answer.usage.total_tokens == 9
        assert raw.headers["x-deputize-served-by"] == "slm" and raw.headers["x-deputize-route"] == "route-1"
        assert (
            raw.headers["x-deputize-confidence"] == "0.9900"
            and raw.headers["x-deputize-certificate"] == "cert-1"
        )
        async with client_of(base_url) as client:
            stream = await client.chat.completions.create(
                model="big", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
            )
            chunks = [c async for c in stream]
    assert chunks[0].choices[0].delta.role == "assistant" and len({c.id for c in chunks}) == 1
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "lost_card"
    assert chunks[-1].usage is not None and chunks[-1].choices == []
    assert not upstream.seen and specialists.asked[0][0] == "runs/0001/specialists/task-1-linear"
    for call in recorded(2):
        assert (
            call.decision is not None and call.decision.served_by == "slm" and call.decision.reason == "live"
        )
        assert call.response["content"] == "lost_card" and call.upstream == "" and call.usage is not None


async def test_specialist_answers_a_tool_call_as_valid_deltas(
    home: Path, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    request = Request(messages=MESSAGES, tools=TOOLS)
    publish(home, route_for(request, Contract(kind="tool_call", tools=["block_card"])))
    specialists = InMemorySpecialists(
        saying([{"name": "block_card", "arguments": {"id": "Ä-17 and quite a long identifier"}}])
    )
    async with (
        served(home, upstream, specialists) as base_url,
        client_of(base_url) as client,
        client.chat.completions.stream(model="big", messages=MESSAGES, tools=TOOLS) as stream,
    ):
        final = await stream.get_final_completion()
    choice = final.choices[0]
    assert choice.finish_reason == "tool_calls" and choice.message.tool_calls is not None
    (call,) = choice.message.tool_calls
    assert call.id.startswith("call_") and json.loads(call.function.arguments) == {
        "id": "Ä-17 and quite a long identifier"
    }
    assert recorded(1)[0].response["tool_calls"][0]["id"] == call.id


async def test_specialist_serves_every_protocol(
    home: Path, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    contract = Contract(
        kind="json", fields=[Field(name="intent", type="label", labels=["a"]), Field(name="id", type="value")]
    )
    publish(home, route_for(REQUEST, contract))
    answer = {"intent": "a", "id": 5}
    async with served(home, upstream, InMemorySpecialists(saying(answer))) as base_url:
        async with AsyncAnthropic(base_url=base_url, api_key="k", max_retries=0) as claude:
            message = await claude.messages.create(
                model="big", max_tokens=20, system="Say the intent.", messages=MESSAGES[1:]
            )
            assert json.loads(message.content[0].text) == answer  # type: ignore[union-attr]
            async with claude.messages.stream(
                model="big", max_tokens=20, system="Say the intent.", messages=MESSAGES[1:]
            ) as stream:
                assert json.loads(await stream.get_final_text()) == answer
        async with client_of(base_url) as client:
            response = await client.responses.create(
                model="big", instructions="Say the intent.", input="my card is gone"
            )
            assert json.loads(response.output_text) == answer and response.status == "completed"
            async with client.responses.stream(
                model="big", instructions="Say the intent.", input="my card is gone"
            ) as events:
                final = await events.get_final_response()
            assert json.loads(final.output_text) == answer
    assert [c.protocol for c in recorded(4)] == ["messages", "messages", "responses", "responses"]
    assert not upstream.seen


@pytest.mark.parametrize(
    ("said", "confidence", "reason"),
    [
        ("lost_card", 0.5, "below_threshold"),
        (None, 0.99, "contract"),
        ("lost_card", float("nan"), "below_threshold"),
    ],
)
async def test_llm_answers_where_the_specialist_may_not(
    home: Path, upstream: LoopbackUpstream, recorded: Recorded, said: Any, confidence: float, reason: str
) -> None:
    publish(home, route_for(REQUEST, LABELS))
    upstream.answer_with(completion("transfer"))
    async with served(home, upstream, InMemorySpecialists(saying(said, confidence))) as base_url:
        raw = await ask(base_url)
    assert raw.parse().choices[0].message.content == "transfer"
    assert raw.headers["x-deputize-served-by"] == "llm" and raw.headers["x-deputize-route"] == "route-1"
    decision = recorded(1)[0].decision
    assert decision is not None and decision.reason == reason


async def test_leave_goes_to_the_llm(home: Path, upstream: LoopbackUpstream, recorded: Recorded) -> None:
    request = Request(messages=MESSAGES, tools=TOOLS)
    publish(home, route_for(request, Contract(kind="tool_call", tools=["block_card"], may_defer=True)))
    upstream.answer_with(Stream(text_stream("Which card?")))
    async with (
        served(home, upstream, InMemorySpecialists(saying(DEFER))) as base_url,
        client_of(base_url) as client,
    ):
        stream = await client.chat.completions.create(
            model="big", messages=MESSAGES, tools=TOOLS, stream=True
        )
        assert "".join([c.choices[0].delta.content or "" async for c in stream]) == "Which card?"
    assert recorded(1)[0].decision.reason == "defer"  # type: ignore[union-attr]


@pytest.mark.parametrize("how", ["error", "slow"])
async def test_a_broken_specialist_costs_nothing_but_time(
    home: Path, upstream: LoopbackUpstream, recorded: Recorded, how: str
) -> None:
    publish(home, route_for(REQUEST, LABELS))
    upstream.answer_with(completion("lost_card"))
    broken = (
        InMemorySpecialists(failing())
        if how == "error"
        else InMemorySpecialists(saying("lost_card"), wait_s=5.0)
    )
    async with served(home, upstream, broken, specialist_timeout_s=0.05) as base_url:
        raw = await ask(base_url)
        assert raw.headers["x-deputize-served-by"] == "llm"
    assert recorded(1)[0].decision.reason == ("worker_error" if how == "error" else "timeout")  # type: ignore[union-attr]


async def test_callers_may_override(home: Path, upstream: LoopbackUpstream) -> None:
    publish(home, route_for(REQUEST, LABELS))
    upstream.answer_with(completion("transfer"))
    async with served(home, upstream, InMemorySpecialists(saying("lost_card", 0.1))) as base_url:
        for override, who in (("llm", "llm"), ("slm", "slm"), ("auto", "llm")):
            raw = await ask(base_url, headers={"x-deputize-route": override})
            assert raw.headers["x-deputize-served-by"] == who
        with pytest.raises(openai.BadRequestError, match="x-deputize-route"):
            await ask(base_url, headers={"x-deputize-route": "maybe"})


async def test_requests_only_an_llm_can_answer_go_there(
    home: Path, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    publish(home, route_for(REQUEST, LABELS))
    upstream.answer_with(completion("x"))
    specialists = InMemorySpecialists(saying("lost_card"))
    async with served(home, upstream, specialists) as base_url:
        await ask(base_url, n=2)
        await ask(base_url, logprobs=True)
    assert not specialists.asked
    assert [c.decision.reason for c in recorded(2)] == ["params:n", "params:logprobs"]  # type: ignore[union-attr]


async def test_shadow_asks_both_and_serves_the_llm(
    home: Path, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    publish(home, route_for(REQUEST, LABELS, state="shadow"))
    upstream.answer_with(completion("lost_card"), completion("transfer"))
    async with served(home, upstream, InMemorySpecialists(saying("lost_card"))) as base_url:
        for _ in range(2):
            assert (await ask(base_url)).headers["x-deputize-served-by"] == "llm"
    decisions = [c.decision for c in recorded(2)]
    assert [d.shadow_agrees for d in decisions if d] == [True, False]
    assert all(d and d.reason == "shadow" and d.confidence == 0.99 for d in decisions)


async def test_canary_is_sticky_by_episode(home: Path, upstream: LoopbackUpstream) -> None:
    publish(home, route_for(REQUEST, LABELS, state="canary", share=0.5))
    upstream.answer_with(completion("lost_card"))
    async with served(home, upstream, InMemorySpecialists(saying("lost_card"))) as base_url:
        sides: dict[str, set[str]] = {}
        for episode in [f"e{i}" for i in range(12)] * 2:
            raw = await ask(base_url, headers={"x-deputize-episode": episode})
            sides.setdefault(episode, set()).add(raw.headers["x-deputize-served-by"])
    assert all(len(side) == 1 for side in sides.values())
    assert {next(iter(side)) for side in sides.values()} == {"slm", "llm"}


async def test_routes_are_swapped_without_a_restart(home: Path, upstream: LoopbackUpstream) -> None:
    upstream.answer_with(completion("lost_card"))
    specialists = InMemorySpecialists(saying("lost_card"))
    async with served(home, upstream, specialists) as base_url:

        async def until(who: str) -> None:
            async with asyncio.timeout(5):
                while (await ask(base_url)).headers["x-deputize-served-by"] != who:
                    await asyncio.sleep(0.02)

        await until("llm")
        file = publish(home, route_for(REQUEST, LABELS))
        await until("slm")
        assert specialists.running
        (home / "routes.json").write_bytes(b"damaged")
        await asyncio.sleep(0.1)
        await until("slm")  # the former table stays in force
        publish(home, route_for(REQUEST, LABELS, state="closed"))
        await until("llm")
        assert file.generation == 1


async def test_other_prompts_have_no_route(
    home: Path, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    publish(home, route_for(REQUEST, LABELS))
    upstream.answer_with(completion("x"))
    async with served(home, upstream, InMemorySpecialists(saying("lost_card"))) as base_url:
        await ask(base_url, tools=TOOLS)
    assert recorded(1)[0].decision.reason == "no_route"  # type: ignore[union-attr]


async def test_audits_ask_the_llm_after_the_answer(
    home: Path, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    """Every served call is audited here; each leaves a second record that says whether the LLM agrees."""
    publish(home, route_for(REQUEST, LABELS))
    upstream.answer_with(completion("lost_card"), completion("transfer"), completion("I cannot say that."))
    async with (
        served(home, upstream, InMemorySpecialists(saying("lost_card")), audit_share=1.0) as base_url,
        client_of(base_url) as client,
    ):
        for n, stream in enumerate((True, False, False), start=1):
            answer = await client.chat.completions.create(model="big", messages=MESSAGES, stream=stream)
            if isinstance(answer, openai.AsyncStream):
                assert "".join([c.choices[0].delta.content or "" async for c in answer]) == "lost_card"
            calls = await asyncio.to_thread(recorded, 2 * n)  # the audit is in the store as well
    assert all("stream" not in seen.json for seen in upstream.seen)
    audits = [c for c in calls if c.decision is not None and c.decision.reason == "audit"]
    assert [c.decision.shadow_agrees for c in audits if c.decision] == [True, False, False]
    assert all(c.decision and c.decision.served_by == "llm" and c.decision.confidence == 0.99 for c in audits)
    assert audits[1].response["content"] == "transfer" and audits[1].id.endswith("-audit")


async def test_an_audit_that_fails_harms_nobody(
    home: Path, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    publish(home, route_for(REQUEST, LABELS))
    upstream.answer_with(Whole(b'{"error":"no"}', status=400))
    async with served(home, upstream, InMemorySpecialists(saying("lost_card")), audit_share=1.0) as base_url:
        assert (await ask(base_url)).headers["x-deputize-served-by"] == "slm"
    assert len(upstream.seen) == 1 and recorded(1)[0].decision.reason == "live"  # type: ignore[union-attr]


PROGRAM = "def f(a):\n    if a:\n\tb()\n    return 'x  y'"
FORMS = [
    (Contract(kind="text"), PROGRAM, PROGRAM, ""),
    (
        Contract(
            kind="json",
            fence="```json",
            fields=[
                Field(name="code", type="value"),
                Field(name="why", type="free"),
                Field(name="so", type="free"),
            ],
        ),
        {"code": PROGRAM, "why": "", "so": "It is."},
        f"```json\n{json.dumps({'code': PROGRAM, 'why': '', 'so': 'It is.'})}\n```",
        "why, so",
    ),
]


@pytest.mark.parametrize(("contract", "answer", "content", "uncompared"), FORMS)
async def test_an_answer_is_served_as_it_was_compared(
    home: Path, upstream: LoopbackUpstream, contract: Contract, answer: Any, content: str, uncompared: str
) -> None:
    publish(home, route_for(REQUEST, contract))
    async with served(home, upstream, InMemorySpecialists(saying(answer))) as base_url:
        raw = await ask(base_url)
        assert raw.headers["x-deputize-served-by"] == "slm"
        assert raw.parse().choices[0].message.content == content
        assert raw.headers.get("x-deputize-uncompared", "") == uncompared
        raw = await ask(base_url, headers={"x-deputize-route": "llm"})
        assert "x-deputize-uncompared" not in raw.headers


async def test_an_answer_that_is_only_close_says_so(home: Path, upstream: LoopbackUpstream) -> None:
    publish(home, route_for(REQUEST, Contract(kind="text", measure=TextMeasure(name="words", level=0.8))))
    async with served(home, upstream, InMemorySpecialists(saying("It is done."))) as base_url:
        raw = await ask(base_url)
        assert raw.headers["x-deputize-served-by"] == "slm"
        assert raw.headers["x-deputize-measured"] == "words>=0.8"
        raw = await ask(base_url, headers={"x-deputize-route": "llm"})
        assert "x-deputize-measured" not in raw.headers


async def test_a_judged_answer_says_so(home: Path, upstream: LoopbackUpstream) -> None:
    file = route_for(REQUEST, Contract(kind="text", measure=TextMeasure(name="judge", level=1.0)))
    certificate = msgspec.structs.replace(
        CERTIFICATE, kind="not_worse_by_judge", judge=JudgeEvidence(model="judge-1")
    )
    routes = [msgspec.structs.replace(r, certificate=certificate) for r in file.routes]
    publish(home, msgspec.structs.replace(file, routes=routes))
    async with served(home, upstream, InMemorySpecialists(saying("It is done."))) as base_url:
        raw = await ask(base_url)
        assert raw.headers["x-deputize-judged"] == "judge-1" and raw.headers["x-deputize-measured"] == "judge"
        raw = await ask(base_url, headers={"x-deputize-route": "llm"})
        assert "x-deputize-judged" not in raw.headers


async def test_a_text_next_to_tool_calls_is_served_too(home: Path, upstream: LoopbackUpstream) -> None:
    request = Request(messages=MESSAGES, tools=TOOLS)
    contract = Contract(kind="tool_call", tools=["block_card"], content="One moment, please.")
    publish(home, route_for(request, contract))
    saying_it = InMemorySpecialists(saying([{"name": "block_card", "arguments": {"id": "a\n  b"}}]))
    async with served(home, upstream, saying_it) as base_url:
        message = (await ask(base_url, tools=TOOLS)).parse().choices[0].message
        assert message.content == "One moment, please."
        assert json.loads(message.tool_calls[0].function.arguments) == {"id": "a\n  b"}
