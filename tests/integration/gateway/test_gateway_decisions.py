"""Typed decisions through a live gateway: recorded, answered under a certificate, audited and watched."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import openai
from tests.integration.gateway.specialists import InMemorySpecialists, publish, route_for, saying
from tests.integration.gateway.upstream import LoopbackUpstream, Whole

from deputize.core.records import Call, Contract, Field
from deputize.gateway.evidence_file import read_evidence
from deputize.gateway.launch import running_gateway
from deputize.gateway.settings import settings_for
from deputize.wire.chat_request import request_of
from deputize.wire.registry import DECISIONS

Recorded = Callable[[int], list[Call]]
QUESTIONS: list[Any] = [
    {"type": "predicate", "name": "refund", "instructions": "They want money back."},
    {
        "type": "choice",
        "name": "topic",
        "instructions": "What is it about?",
        "choices": [{"value": "billing"}, {"value": "login"}, {"value": "other"}],
    },
    {
        "type": "score",
        "name": "urgency",
        "instructions": "How urgent?",
        "levels": [{"label": "low"}, {"label": "high"}],
    },
]
NAMED = {
    "refund": {"type": "noul", "instructions": "They want money back."},
    "topic": {"type": "choice", "criteria": {"billing": None, "login": None}},
}
CONTRACT = Contract(
    kind="json",
    fields=[
        Field(name="refund", type="label", labels=[False, True]),
        Field(name="topic", type="label", labels=["billing", "login", "other"]),
        Field(name="urgency", type="label", labels=[0, 1]),
    ],
)
DECIDED = {"refund": True, "topic": "billing", "urgency": 1}
ASKED: dict[str, Any] = {"model": "d1", "input": "charged twice", "questions": QUESTIONS}


def llm_says(topic: str = "billing", refund: float = 0.7) -> Whole:
    answers = [
        {"type": "predicate", "name": "refund", "probability": refund},
        {
            "type": "choice",
            "name": "topic",
            "choice": topic,
            "confidence": 0.4,
            "probabilities": [{"value": topic, "probability": 0.6}],
        },
        {"type": "score", "name": "urgency", "score": 0.8, "confidence": 0.6, "probabilities": []},
    ]
    usage = {
        "input_tokens": 40,
        "input_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 0},
        "output_tokens": 0,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 40,
    }
    return Whole(json.dumps({"model": "d1-2026", "answers": answers, "usage": usage, "new": [1]}).encode())


@asynccontextmanager
async def served(home: Path, upstream: LoopbackUpstream, said: Any, audit_share: float) -> AsyncIterator[str]:
    chat = DECISIONS.to_chat(ASKED)
    publish(home, route_for(request_of(chat), CONTRACT))
    settings = settings_for(home, upstream.base_url).model_copy(update={"audit_share": audit_share})
    async with running_gateway(
        home, settings=settings, specialists=InMemorySpecialists(saying(said, 0.9))
    ) as base_url:
        yield base_url


async def ask(base_url: str, **more: Any) -> Any:
    async with openai.AsyncOpenAI(base_url=f"{base_url}/v1", api_key="k", max_retries=0) as client:
        return await client.decisions.with_raw_response.create(**{**ASKED, **more})


async def test_the_llms_decisions_pass_byte_for_byte_and_are_recorded(
    gateway: str, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    answer = llm_says()
    upstream.answer_with(answer)
    raw = await ask(gateway)
    assert await raw.http_response.aread() == answer.body and upstream.seen[0].path == "/v1/decisions"
    assert upstream.seen[0].json == ASKED and raw.headers["x-deputize-served-by"] == "llm"
    named = json.dumps({"model": "s1", "answers": {"refund": {"type": "noul", "noul": 0.1}}}).encode()
    upstream.answer_with(Whole(named))
    async with aiohttp.ClientSession() as session:
        body = {"model": "s1", "state": {"mail": "charged twice"}, "questions": NAMED}
        async with session.post(f"{gateway}/v1/systemone", json=body) as reply:
            assert await reply.read() == named
        async with session.post(f"{gateway}/v1/systemone", json={"model": "s1", "state": "x"}) as reply:
            assert reply.status == 400 and "questions" in (await reply.json())["error"]["message"]
    first, second = sorted(recorded(2), key=lambda c: c.protocol)
    assert (first.protocol, second.protocol) == ("decisions", "systemone")
    assert json.loads(first.response["content"]) == DECIDED
    assert first.response["answers"] == json.loads(answer.body)["answers"]
    assert first.messages == [{"role": "user", "content": "charged twice"}]
    assert first.usage is not None and (first.usage.prompt_tokens, first.usage.cached_tokens) == (40, 8)
    assert json.loads(second.response["content"]) == {"refund": False}
    assert second.messages[0]["content"] == '{"mail":"charged twice"}' and second.response_format is not None


async def test_a_certified_specialist_decides_with_probabilities_and_is_audited(
    home: Path, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    upstream.answer_with(llm_says(), llm_says(topic="login"))
    async with served(home, upstream, DECIDED, audit_share=1.0) as base_url:
        for n in (1, 2):
            raw = await ask(base_url)
            refund, topic, urgency = raw.parse().answers
            assert (refund.probability, topic.choice, urgency.score) == (0.9, "billing", 1.0)
            assert [p.probability for p in topic.probabilities] == [0.9, 0.05, 0.05]
            assert raw.headers["x-deputize-served-by"] == "slm"
            assert raw.headers["x-deputize-certificate"] == "cert-1"
            assert raw.headers["x-deputize-confidence"] == "0.9000"
            calls = await asyncio.to_thread(recorded, 2 * n)
    audits = [c.decision.shadow_agrees for c in calls if c.decision and c.decision.reason == "audit"]
    assert sorted(audits, key=str) == [False, True], "the second answer of the LLM differs"
    slm = [c for c in calls if c.decision and c.decision.served_by == "slm"]
    assert [json.loads(c.response["content"]) for c in slm] == [DECIDED, DECIDED]
    (evidence,) = read_evidence(home, None).values()
    assert evidence.state is not None and (evidence.n_due, evidence.state.sum_losses) == (2, 1.0)


async def test_an_option_that_was_not_offered_is_left_to_the_llm(
    home: Path, upstream: LoopbackUpstream, recorded: Recorded
) -> None:
    upstream.answer_with(llm_says())
    wide = {**DECIDED, "urgency": True}
    async with served(home, upstream, wide, audit_share=0.0) as base_url:
        raw = await ask(base_url)
        assert raw.headers["x-deputize-served-by"] == "llm"
        changed = await ask(base_url, questions=QUESTIONS[:2])
        assert changed.headers["x-deputize-served-by"] == "llm"
    reasons = {c.decision.reason for c in recorded(2) if c.decision}
    assert reasons == {"contract", "no_route"}


async def test_upstreams_of_another_protocol_are_not_asked(
    anthropic_gateway: str, upstream: LoopbackUpstream
) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{anthropic_gateway}/v1/decisions", json=ASKED) as reply,
    ):
        assert reply.status == 400 and "/v1/decisions" in (await reply.json())["error"]["message"]
    assert not upstream.seen
