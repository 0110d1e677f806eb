"""A certificate is about what is served: contracts that are inferred from a log, specialists with a flaw, the real
test."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from deputize.core.config import Convert
from deputize.core.contracts import answer_of
from deputize.core.records import Contract, Example, Message, Prediction, Request
from deputize.core.task_results import TaskResult
from deputize.stages.cluster.output_contract import infer_contract
from deputize.stages.evaluate.publish import route_file
from deputize.stages.select.reply_comparability import not_comparable

from .conftest import World, make_world, unit


class Flawed:
    """Answers as the LLM did, but for a change that is made to every answer."""

    def __init__(self, replies: dict[str, Message], contract: Contract, change: Callable[[Any], Any]) -> None:
        self.replies, self.contract, self.change = replies, contract, change

    def predict(self, requests: Sequence[Request]) -> list[Prediction]:
        answers = [answer_of(self.replies[str(r.messages[-1]["content"])], self.contract) for r in requests]
        return [Prediction(answer=self.change(a), confidence=0.99, latency_ms=1.0) for a in answers]


def evaluated(
    home: Path, reply: Callable[[int], Message], change: Callable[[Any], Any], n_calls: int = 900
) -> tuple[Contract, TaskResult, World]:
    """The contract that discovery infers of replies, and what evaluation says of a specialist with a flaw."""
    world = make_world(home, n_calls=n_calls, methods={"linear": 0.0})
    examples: list[Example] = [
        msgspec.structs.replace(e, response=reply(i)) for i, e in enumerate(world.curated.examples)
    ]
    contract = infer_contract(examples, 1)
    task = msgspec.structs.replace(world.discovered.tasks[0], contract=contract)
    specialists = [
        msgspec.structs.replace(s, contract=contract, task=task) for s in world.finetuned.specialists
    ]
    replies = {str(e.request.messages[-1]["content"]): e.response for e in examples}
    world.curated = msgspec.structs.replace(world.curated, examples=examples)
    world.discovered = msgspec.structs.replace(world.discovered, tasks=[task])
    world.finetuned = msgspec.structs.replace(world.finetuned, specialists=specialists)
    world.predictors = {s.path: Flawed(replies, contract, change) for s in specialists}  # type: ignore[misc]
    return contract, world.run(Convert(epsilon=0.05))[0], world


def said(value: Any) -> Message:
    return {"role": "assistant", "content": value if isinstance(value, str) else json.dumps(value)}


TABLES = ["orders", "customers", "items"]


def sql(i: int) -> Message:
    table = TABLES[int(3 * unit("table", i))]
    query = f"SELECT name, total FROM {table} WHERE customer_id = {i} AND total > {int(99 * unit(i))} ORDER BY total"
    return said({"table": table, "query": query})


def test_a_specialist_that_drops_the_table_in_every_query_is_not_certified(tmp_path: Path) -> None:
    def drop(answer: Any) -> Any:
        return {**answer, "query": "DROP TABLE orders"}

    contract, result, _ = evaluated(tmp_path, sql, drop)
    assert contract.uncompared == []
    assert result.certificate is None and result.refusal_reason
    assert evaluated(tmp_path, sql, lambda answer: answer)[1].certificate is not None


PROGRAM = "def f{0}(a):\n    if a:\n        b()\n        c({0})\n    return a"


def program(i: int) -> Message:
    return said(PROGRAM.format(i))


def call(i: int) -> Message:
    function = {"name": "run", "arguments": json.dumps({"code": PROGRAM.format(i)})}
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "c", "type": "function", "function": function}],
    }


def dedented(answer: Any) -> Any:
    """Another program: the second call of it runs in any case."""
    if isinstance(answer, list):
        return [{"name": c["name"], "arguments": {"code": dedented(c["arguments"]["code"])}} for c in answer]
    return answer.replace("\n        c(", "\n    c(")


def flat(answer: Any) -> Any:
    """No program at all."""
    if isinstance(answer, list):
        return [{"name": c["name"], "arguments": {"code": flat(c["arguments"]["code"])}} for c in answer]
    return " ".join(answer.split())


@pytest.mark.parametrize("reply", [program, call])
@pytest.mark.parametrize("change", [dedented, flat])
def test_a_program_with_another_indentation_is_another_answer(
    tmp_path: Path, reply: Callable[[int], Message], change: Callable[[Any], Any]
) -> None:
    assert evaluated(tmp_path, reply, change, 600)[1].certificate is None
    assert evaluated(tmp_path, reply, lambda answer: answer, 600)[1].certificate is not None


def test_a_certificate_names_the_prose_that_it_is_not_about(tmp_path: Path) -> None:
    def reply(i: int) -> Message:
        note = f"The {('chair', 'table')[i % 2]} was sent back by number {i} and it is in the shop again."
        return said({"query": json.loads(sql(i)["content"])["query"], "note": note})

    contract, result, world = evaluated(tmp_path, reply, lambda answer: {**answer, "note": ""})
    assert contract.uncompared == ["note"]
    certificate = result.certificate
    assert certificate is not None and certificate.uncompared == ["note"]
    assert certificate.claim.endswith("Nothing is claimed of the field note, which was not compared.")
    routes = route_file("r", world.discovered, [result], world.finetuned).routes
    assert routes[0].contract.uncompared == ["note"]


def test_a_task_that_is_mostly_prose_is_refused_before_it_is_trained(tmp_path: Path) -> None:
    def reply(i: int) -> Message:
        why = f"The answer of number {i} is good, but it does not say what is to be done about the chair."
        return said({"score": 1 + i % 5, "why": why})

    _, _, world = evaluated(tmp_path, reply, lambda answer: {**answer, "why": "No."})
    train = [e.response for e in world.curated.examples if e.split == "train"]
    assert "a certificate would say nothing of most of a reply" in not_comparable(
        world.discovered.tasks[0], train
    )


def test_text_next_to_a_tool_call_is_an_error_of_a_specialist_that_leaves_it_out(tmp_path: Path) -> None:
    def reply(i: int) -> Message:
        return {**call(i), "content": f"I will now run program {i}." if i % 3 == 0 else None}

    def always_calls(answer: Any) -> Any:
        return answer if isinstance(answer, list) else [{"name": "run", "arguments": {"code": "pass"}}]

    contract, result, _ = evaluated(tmp_path, reply, always_calls)
    assert contract.may_defer and result.certificate is None
    assert evaluated(tmp_path, reply, lambda answer: answer)[1].certificate is not None
