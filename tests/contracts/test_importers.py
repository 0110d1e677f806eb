"""One suite over every importer, ours and a user's."""

from __future__ import annotations

from typing import Any

import pytest

from deputize.core.records import Call, Usage
from deputize.stages.collect.importers.base import Parsed
from deputize.stages.collect.importers.registry import BUILT_IN, importers_for
from deputize.testing import check_importer

ASK = [{"role": "system", "content": "Route."}, {"role": "user", "content": "hello"}]
SAY = {"role": "assistant", "content": "greeting"}
TOOL_CALL = {
    "role": "assistant",
    "content": None,
    "tool_calls": [{"id": "1", "type": "function", "function": {"name": "pay", "arguments": "{}"}}],
}
TOOLS = [{"type": "function", "function": {"name": "pay", "parameters": {"type": "object"}}}]

Samples = list[tuple[dict[str, Any], Parsed]]
SAMPLES: dict[str, Samples] = {
    "calls": [
        ({"messages": ASK, "response": "greeting"}, Call(id="", messages=ASK, response=SAY)),
        (
            {
                "id": "c1",
                "agent": "desk",
                "run_id": "r1",
                "task_id": 7,
                "step": 2,
                "messages": ASK,
                "tools": TOOLS,
                "response": TOOL_CALL,
                "user": "ann",
                "usage": {"prompt_tokens": 9, "completion_tokens": 1},
                "latency_s": 0.5,
                "timestamp": "2024-05-15T15:00:00Z",
            },
            Call(
                id="c1",
                agent="desk",
                episode="r1",
                group="desk:7",
                step=2,
                messages=ASK,
                tools=TOOLS,
                response=TOOL_CALL,
                origin="pseudonym-3",
                usage=Usage(prompt_tokens=9, completion_tokens=1),
                latency_ms=500.0,
                timestamp=1715785200.0,
            ),
        ),
    ],
    "openai": [
        ({"request": {"messages": ASK}, "response": "greeting"}, Call(id="", messages=ASK, response=SAY)),
        (
            {
                "request": {
                    "method": "POST",
                    "body": {"model": "m", "messages": ASK, "temperature": 0, "user": "ann"},
                },
                "response": {
                    "status_code": 200,
                    "body": {
                        "created": 1715785200,
                        "model": "m-1",
                        "choices": [{"index": 0, "message": SAY, "finish_reason": "stop"}],
                        "usage": {"prompt_tokens": 5, "completion_tokens": 2},
                    },
                },
            },
            Call(
                id="",
                messages=ASK,
                response=SAY,
                model="m",
                params={"temperature": 0},
                origin="pseudonym-3",
                usage=Usage(prompt_tokens=5, completion_tokens=2),
                timestamp=1715785200.0,
                finish_reason="stop",
            ),
        ),
    ],
    "conversations": [
        ({"messages": [*ASK, SAY]}, Call(id="", messages=ASK, response=SAY)),
        (
            {"id": "c", "messages": [*ASK, SAY, ASK[1], SAY], "tools": TOOLS, "model": "m", "user": "ann"},
            [
                Call(
                    id=f"c-{step}",
                    episode="c",
                    group="c",
                    step=step,
                    messages=[*ASK, *[SAY, ASK[1]] * step],
                    response=SAY,
                    tools=TOOLS,
                    model="m",
                    origin="pseudonym-3",
                )
                for step in range(2)
            ],
        ),
    ],
    "tests.a_users_importer:QuestionImporter": [
        (
            {"question": "why?", "answer": "because"},
            Call(
                id="",
                messages=[{"role": "user", "content": "why?"}],
                response={"role": "assistant", "content": "because"},
            ),
        ),
        (
            {"question": "who?", "answer": "I", "asker": "ann"},
            Call(
                id="",
                messages=[{"role": "user", "content": "who?"}],
                response={"role": "assistant", "content": "I"},
                origin="pseudonym-3",
            ),
        ),
    ],
}


def others(name: str) -> list[dict[str, Any]]:
    return [row for other, samples in SAMPLES.items() if other != name for row, _ in samples]


@pytest.mark.parametrize("name", SAMPLES)
def test_every_importer_keeps_the_contract(name: str) -> None:
    (importer,) = importers_for(name)
    check_importer(importer, SAMPLES[name], others=others(name))


def test_every_importer_of_ours_is_checked() -> None:
    assert {importer.name for importer in BUILT_IN} <= SAMPLES.keys()
