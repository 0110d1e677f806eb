"""One suite over every importer, ours and a user's; broken importers fail it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.a_users_importer import QuestionImporter

from deputize.core.artifacts import Skip
from deputize.core.records import Call, Usage
from deputize.stages.collect.importers.base import ImportContext, Importer
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

Samples = list[tuple[dict[str, Any], Call]]
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
        ({"messages": [*ASK, SAY]}, Call(id="", messages=ASK, response=SAY)),
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


class _Broken(QuestionImporter):
    """A toy that delegates to the good one but for what a test breaks."""

    def __init__(
        self,
        parse: Callable[[dict[str, Any], ImportContext, Call | Skip], Any] | None = None,
        sniff: Callable[[dict[str, Any]], bool] | None = None,
    ) -> None:
        self._parse, self._sniff = parse, sniff

    def sniff(self, row: dict[str, Any]) -> bool:
        return self._sniff(row) if self._sniff else super().sniff(row)

    def parse(self, row: dict[str, Any], context: ImportContext) -> Call | Skip:
        good = super().parse(row, context)
        found: Call | Skip = self._parse(row, context, good) if self._parse else good
        return found


def with_params(row: dict[str, Any], context: ImportContext, good: Call | Skip) -> Call | Skip:
    params = {k: v for k, v in row.items() if k not in ("question", "answer", "asker")}
    return (
        Call(**{f: getattr(good, f) for f in ("id", "messages", "response", "origin")}, params=params)
        if (isinstance(good, Call))
        else good
    )


def counted() -> Callable[[dict[str, Any], ImportContext, Call | Skip], Any]:
    numbers = iter(range(10**6))
    return lambda row, context, good: (
        Call(id=f"c{next(numbers)}", messages=good.messages, response=good.response, origin=good.origin)
        if isinstance(good, Call)
        else good
    )


@pytest.mark.parametrize(
    ("broken", "promise"),
    [
        (_Broken(sniff=lambda row: True), "sniff is false"),
        (_Broken(sniff=lambda row: False), "sniff is true"),
        (_Broken(lambda row, context, good: context.skip("no")), "a sample is a call"),
        (
            _Broken(lambda row, context, good: Call(id="", messages=[], response={})),
            "the call that was given",
        ),
        (_Broken(counted()), "the call that was given"),
        (_Broken(lambda row, context, good: [row.setdefault("seen", 1), good][1]), "does not change"),
        (_Broken(lambda row, context, good: [row["question"].strip(), good][1]), "never raises"),
        (_Broken(lambda row, context, good: good if isinstance(good, Call) else None), "a Call or a Skip"),
        (
            _Broken(lambda row, context, good: good if isinstance(good, Call) else context.skip("")),
            "has a reason",
        ),
        (
            _Broken(
                lambda row, context, good: good if isinstance(good, Call) else context.skip(f"not {row}")
            ),
            "holds nothing of the object",
        ),
        (
            _Broken(
                lambda row, context, good: (
                    good if isinstance(good, Call) else Skip(file="", line=0, reason="x")
                )
            ),
            "names the line",
        ),
        (_Broken(with_params), "are not kept"),
    ],
)
def test_a_broken_importer_fails(broken: Importer, promise: str) -> None:
    name = "tests.a_users_importer:QuestionImporter"
    with pytest.raises(AssertionError, match=promise):
        check_importer(broken, SAMPLES[name], others=others(name))
