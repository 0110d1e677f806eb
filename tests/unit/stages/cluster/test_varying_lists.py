"""Lists that differ from call to call make one task; lists that recur keep their own, exactly as before."""

from __future__ import annotations

import random
from collections.abc import Sequence

from msgspec import structs
from tests.simulated_lists import SYSTEM, THINGS, TOOLS, call_of, example_of, schema_call, tool

from deputize.core.records import Example
from deputize.core.signature import OPEN, signature
from deputize.core.template_key import TemplateKeys
from deputize.stages.cluster.discover import find_tasks
from deputize.stages.cluster.recurring_lines import UnitSplitter, prompt_call
from deputize.stages.cluster.reply_profiles import read_reply
from deputize.stages.cluster.varying_lists import MIN_LISTS, pool_varying_lists


def of_lists(n: int = 120) -> list[Example]:
    return [example_of(call_of(i, TOOLS)) for i in range(n)]


def fixed(n: int, name: str, system: str = SYSTEM) -> list[Example]:
    """An agent that lists the same tools in every call."""
    known = [("find", name), ("book", name), ("cancel", name)]
    made = []
    for i in range(n):
        call = call_of(10 * i + 1, known, system=system)
        call = structs.replace(call, id=f"{name}{i}", tools=[tool(*one) for one in known], agent=name)
        made.append(structs.replace(example_of(call), group=f"{name}{i}", call_id=f"{name}{i}"))
    return made


def shape(examples: Sequence[Example]) -> list[tuple[frozenset[str], bool, frozenset[str]]]:
    tasks, _ = find_tasks(examples)
    return [
        (frozenset(c.example.call_id for c in t.members), t.from_request, frozenset(t.keys)) for t in tasks
    ]


def test_calls_with_ever_other_tools_are_one_task_that_a_new_list_finds() -> None:
    examples = of_lists()
    assert len({signature(e.request) for e in examples}) > 100
    tasks, spaces = find_tasks(examples)
    assert [(len(t.members), t.from_request, t.routable) for t in tasks] == [(120, True, True)]
    assert [space.signature.startswith(OPEN) for space in spaces] == [True]
    keys = TemplateKeys(spaces)
    fresh = call_of(999, [("sell", "boat"), ("rent", "boat"), ("wash", "boat")]).request()
    assert keys.key(fresh) in tasks[0].keys, "its key says nothing of the tools"
    no_tools = structs.replace(fresh, tools=None)
    assert keys.key(no_tools) == "" == keys.key(structs.replace(fresh, tool_choice="required"))


def test_agents_with_fixed_lists_keep_their_tasks_exactly() -> None:
    several = [e for name in THINGS[:12] for e in fixed(25, name, f"You work with a {name} only. Be brief.")]
    alone = shape(several)
    assert not any(from_request for _, from_request, _ in alone)
    groups = {
        sign: [
            prompt_call(i, e, read_reply(e.response), UnitSplitter())
            for i, e in enumerate(several)
            if signature(e.request) == sign
        ]
        for sign in {signature(e.request) for e in several}
    }
    kept, pools = pool_varying_lists(groups)
    assert pools == {} and kept == groups
    beside = shape([*several, *of_lists()])
    assert [one for one in beside if not one[1]] == alone, "also next to an agent whose lists vary"
    assert sum(one[1] for one in beside) == 1


def test_a_list_that_recurs_often_keeps_its_own_signature_even_in_the_same_agent() -> None:
    often = [structs.replace(e, request=structs.replace(e.request, agent="clerk")) for e in fixed(60, "boat")]
    found = shape([*often, *of_lists()])
    assert sorted((len(members), from_request) for members, from_request, _ in found) == [
        (60, False),
        (120, True),
    ]


def test_few_lists_are_small_sites_of_their_own() -> None:
    examples = [
        example_of(
            structs.replace(
                call_of(i, TOOLS), tools=[tool(*TOOLS[j]) for j in range(i % (MIN_LISTS - 5), 80, 20)]
            )
        )
        for i in range(100)
    ]
    assert not any(from_request for _, from_request, _ in shape(examples))


def test_where_the_request_does_not_tell_the_tool_the_lists_are_no_one_task() -> None:
    rng = random.Random(0)
    examples = []
    for e in of_lists(200):
        if e.response.get("tool_calls"):
            name = rng.choice(e.request.tools or [])["function"]["name"]
            function = {"name": name, "arguments": "{}"}
            e = structs.replace(
                e, response={"role": "assistant", "tool_calls": [{"id": "x", "function": function}]}
            )
        examples.append(e)
    assert not any(from_request for _, from_request, _ in shape(examples))


def test_reply_schemas_that_vary_are_one_task_too() -> None:
    examples = [example_of(schema_call(i)) for i in range(120)]
    tasks, spaces = find_tasks(examples)
    assert [(len(t.members), t.from_request) for t in tasks] == [(120, True)]
    assert TemplateKeys(spaces).key(schema_call(999).request()) in tasks[0].keys
    broken = [structs.replace(e, response={"role": "assistant", "content": '{"other": 1}'}) for e in examples]
    assert not any(t.from_request for t in find_tasks(broken)[0])
