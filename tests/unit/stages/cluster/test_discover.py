"""Finding tasks: one per template, pooled where tools vary, with keys that lead to them."""

from __future__ import annotations

from typing import Any

from deputize.core.records import Example, Request
from deputize.core.template_key import TemplateKeys
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
