"""The judge of audits over a real socket: both orders, and no verdict where it does not answer."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.unit.gateway.stubs import WordDetector

from deputize.core.config import JudgeSettings, Privacy
from deputize.core.records import Message
from deputize.gateway.audit_judge import AuditJudge
from deputize.gateway.live_masking import LiveMasker
from deputize.http.client import Http1Transport
from deputize.testing.scripted_llm import Script, ScriptedUpstream, ScriptError, running
from deputize.upstreams.upstream import Upstream
from deputize.upstreams.upstream_config import judge_upstream

REQUEST = [{"role": "user", "content": "What is 3 + 4?"}]


def honest(body: dict[str, Any]) -> Message:
    asked = json.loads(body["messages"][1]["content"])
    first, second = ("7" in asked[f"answer_{k}"] for k in (1, 2))
    return {"role": "assistant", "content": "=" if first == second else "1" if first else "2"}


def broken(body: dict[str, Any]) -> Message:
    raise ScriptError(500, "out of order")


@pytest.mark.parametrize(
    ("script", "answer", "verdict"),
    [
        (honest, "Seven: 7", True),
        (honest, "Eight: 8", False),
        (lambda body: {"role": "assistant", "content": "2"}, "Seven: 7", False),
        (lambda body: {"role": "assistant", "content": "It depends."}, "Seven: 7", None),
        (broken, "Seven: 7", None),
    ],
)
async def test_a_text_is_judged_in_both_orders(script: Script, answer: str, verdict: bool | None) -> None:
    async with running(ScriptedUpstream(script)) as server:
        transport = Http1Transport()
        config = judge_upstream(JudgeSettings(base_url=server.url, model="judge-1"))
        judge = AuditJudge(Upstream(config, transport), "judge-1")
        assert await judge.no_worse(REQUEST, answer, "It is 7.") is verdict
        assert all(body["model"] == "judge-1" and body["temperature"] == 0 for body in server.requests)
        await transport.close()
    assert await AuditJudge(Upstream(config, Http1Transport()), "x").no_worse(REQUEST, answer, "7") is None


async def test_a_judge_gets_placeholders_where_llms_do() -> None:
    async with running(ScriptedUpstream(honest)) as server:
        transport = Http1Transport()
        config = judge_upstream(JudgeSettings(base_url=server.url, model="judge-1"))
        masker = LiveMasker(WordDetector(), Privacy(live="mask"), b"key")
        judge = AuditJudge(Upstream(config, transport), "judge-1", masker)
        asked = [{"role": "user", "content": "What is Anna's 3 + 4?"}]
        assert await judge.no_worse(asked, "Anna: 7", "It is 7, Anna.") is True
        assert len(server.requests) == 2
        assert all("Anna" not in str(body) and str(body).count("PERSON_1a") == 3 for body in server.requests)
        await transport.close()
