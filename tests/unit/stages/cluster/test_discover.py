"""Finding tasks: one per template, pooled where tools vary, with keys that lead to them."""

from __future__ import annotations

import random
from typing import Any

import pytest
from tests.other_processes import OtherProcesses

from deputize.core.records import Example, Request
from deputize.core.template_key import TemplateKeys
from deputize.stages.cluster import discover
from deputize.stages.cluster.discover import find_tasks


def example(i: int, system: str, reply: str, **more: Any) -> Example:
    messages = [
        {"role": "system", "content": system},
        {"role": "user", "content": f"Thing: {'ab' * (i + 1)}"},
    ]
    return Example(
        call_id=f"c{i}",
        request=Request(messages=messages, **more),
        response={"role": "assistant", "content": reply},
        audience="code",
        site="s",
        episode=f"e{i}",
        group=f"g{i}",
    )


def test_two_prompts_with_two_kinds_of_answer_are_two_tasks_and_their_keys_lead_to_them() -> None:
    examples = [
        example(
            i,
            *(
                ("Name the colour.", ("red", "blue")[i % 4 // 2])
                if i % 2
                else ("Is it late?", ("yes", "no")[i % 4 // 2])
            ),
        )
        for i in range(80)
    ]
    tasks, keyspaces = find_tasks(examples)
    assert [len(task.members) for task in tasks] == [40, 40]
    keys = TemplateKeys(keyspaces)
    for task in tasks:
        assert task.routable and not task.split
        assert {keys.key(call.example.request) for call in task.members} == task.keys


def test_calls_whose_tools_vary_are_one_task_that_cannot_be_routed() -> None:
    def tools(i: int) -> list[dict[str, Any]]:
        return [{"type": "function", "function": {"name": f"tool{i}"}}]

    examples = [example(i, "Use a tool.", "done", tools=tools(i)) for i in range(40)]
    tasks, keyspaces = find_tasks(examples)
    assert [(len(task.members), task.routable) for task in tasks] == [(40, False)]
    assert keyspaces == []


def test_few_signatures_of_few_calls_are_small_sites_and_not_one_whose_tools_vary() -> None:
    def tools(i: int) -> list[dict[str, Any]]:
        return [{"type": "function", "function": {"name": f"tool{i}"}}]

    examples = [example(i, "Is it late?", ("yes", "no")[i % 2]) for i in range(40)]
    examples += [example(40 + i, "Use a tool.", "done", tools=tools(i % 2)) for i in range(6)]
    tasks, keyspaces = find_tasks(examples)
    assert [(len(task.members), task.routable) for task in tasks] == [(40, True), (3, True), (3, True)]
    assert len(keyspaces) == 3


@pytest.mark.parametrize(
    ("second", "n_tasks"),
    [
        ("Is it late at night in the harbour of the town?", 1),
        ("Does this letter ask for a refund of its price?", 2),
    ],
)
def test_signatures_are_joined_where_the_prompts_are_one_template(second: str, n_tasks: int) -> None:
    first = "Is it late at night in the harbour of the town?"
    examples = [example(i, first, ("yes", "no")[i % 2]) for i in range(40)]
    format = {"type": "json_object"}
    examples += [example(i, second, ("yes", "no")[i % 2], response_format=format) for i in range(40, 80)]
    tasks, _ = find_tasks(examples)
    assert len(tasks) == n_tasks and sum(len(task.members) for task in tasks) == 80


JOBS = (
    ("will it rain in {} tomorrow", "weather forecast for {}", "is it sunny in {}, will it rain"),
    ("send money to {}", "transfer some money from my account to {}", "pay {} from my account"),
)


def test_parts_of_a_semantic_split_are_not_joined_across_signatures() -> None:
    pytest.importorskip("graspologic_native")
    rng = random.Random(0)

    def asked(i: int, **more: Any) -> Example:
        job = rng.randrange(2)
        reply = f'{{"amount": {i}, "to": "x"}}' if job else ("yes", "no", "perhaps")[i % 3]
        made = example(i, "Serve the customer.", reply, **more)
        place = "".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(9))
        made.request.messages[1] = {"role": "user", "content": rng.choice(JOBS[job]).format(place)}
        return made

    examples = [asked(i) for i in range(150)]
    examples += [asked(i, response_format={"type": "json_object"}) for i in range(150, 300)]
    tasks, keyspaces = find_tasks(examples)
    assert [task.split for task in tasks] == [True] * 4
    assert sum(len(task.members) for task in tasks) == 300
    assert all(len(space.branch_classifiers) == 1 for space in keyspaces)


def test_pictures_are_left_out() -> None:
    picture = Request(messages=[{"role": "user", "content": [{"type": "image_url"}]}])
    examples = [example(i, "Is it late?", "yes") for i in range(20)]
    examples.append(
        Example(
            **{f: getattr(examples[0], f) for f in ("response", "audience", "site", "episode", "group")},
            call_id="p",
            request=picture,
        )
    )
    tasks, _ = find_tasks(examples)
    assert sum(len(task.members) for task in tasks) == 20


def test_workers_find_the_same_tasks_a_signature_each(monkeypatch: pytest.MonkeyPatch) -> None:
    def tools(name: str) -> list[dict[str, Any]]:
        return [{"type": "function", "function": {"name": name}}]

    examples = [example(i, f"Use the tool {i % 3}.", "done", tools=tools(f"tool{i % 3}")) for i in range(120)]
    examples += [example(120 + i, "Use any tool.", "done", tools=tools(f"other{i}")) for i in range(40)]
    here, spaces = find_tasks(examples)
    runner = OtherProcesses()
    assert find_tasks(examples, runner=runner)[1] == spaces and runner.n_started == 0, "it is a small log"
    monkeypatch.setattr(discover, "MIN_CALLS_FOR_WORKERS", 100)
    there, same = find_tasks(examples, runner=runner)
    assert runner.n_started == 1 and same == spaces and len(here) == 4
    assert there == here and [task.routable for task in there].count(False) == 1
