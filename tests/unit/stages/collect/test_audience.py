"""Sites are found and replies told apart; what nobody can place counts as meant for a person."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deputize.core.records import Call, Message
from deputize.stages.collect.audience import infer_sites
from deputize.stages.collect.import_logs import read_calls

DATA = Path(__file__).parents[5] / "shared" / "data"
TOOL = {"type": "function", "function": {"name": "book", "parameters": {}}}


def call(
    n: int, reply: str | Message, system: str = "You are the desk.", user: str = "hi", **more: Any
) -> Call:
    response: Message = {"role": "assistant", "content": reply} if isinstance(reply, str) else reply
    messages: list[Message] = [
        {"role": "system", "content": system},
        {"role": "user", "content": f"{user} {n}"},
    ]
    return Call(id=f"c{n}", messages=messages, response=response, agent=more.pop("agent", "desk"), **more)


def act(name: str = "book") -> Message:
    return {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"id": "1", "type": "function", "function": {"name": name, "arguments": "{}"}}],
    }


def test_form_decides_where_nothing_is_declared() -> None:
    calls = [
        call(i, act() if i % 2 else f"Dear guest {i}, your seat is booked.", tools=[TOOL]) for i in range(10)
    ]
    calls += [call(10 + i, f'{{"intent": {i}}}', system="Reply with JSON.") for i in range(10)]
    calls += [call(20 + i, "yes" if i % 3 else "no", system="Answer yes or no.") for i in range(30)]
    calls += [call(50 + i, f"Well, {i} is a fine number to talk about.", system="Chat.") for i in range(10)]
    found = infer_sites(calls)
    assert [(s.audience, s.n_human, s.n_code) for s in found.sites] == [
        ("mixed", 5, 5),
        ("code", 0, 10),
        ("code", 0, 30),
        ("human", 10, 0),
    ]
    assert found.audience_of["c1"] == "code" and found.audience_of["c0"] == "human"
    assert "5 tool calls" in found.sites[0].evidence and "2 distinct labels" in found.sites[2].evidence
    assert {found.site_of[f"c{i}"] for i in range(10)} == {found.sites[0].id}


def test_what_the_caller_declares_wins() -> None:
    calls = [call(i, '{"a": 1}', audience="human") for i in range(3)] + [
        call(3 + i, "a free summary", audience="code") for i in range(2)
    ]
    (site,) = infer_sites(calls).sites
    assert (site.audience, site.n_human, site.n_code) == ("mixed", 3, 2)
    assert "3 declared to be for a person" in site.evidence


def test_declared_sites_are_kept_apart_and_named() -> None:
    calls = [
        call(0, "x y", site="intent"),
        call(1, "x y", site="reply"),
        call(2, "x y", site="reply", system="else"),
    ]
    names = {s.name: s.n_calls for s in infer_sites(calls).sites}
    assert names == {"desk/intent": 1, "desk/reply": 2}


def test_a_few_broken_replies_do_not_turn_a_site_to_a_person() -> None:
    calls = [call(i, '{"a": 1}') for i in range(39)] + [call(39, "I cannot do that.")]
    (site,) = infer_sites(calls).sites
    assert site.audience == "code" and "1 replies without the structure" in site.evidence


@pytest.mark.parametrize(
    "reply",
    [
        "```python\nprint()\n```",
        "[CONTENT]\n{}\n[/CONTENT]",
        "<xml>a</xml>",
        "[1, 2]",
        '```json\n{"a": 1}\n```',
    ],
)
def test_whole_blocks_are_structured(reply: str) -> None:
    assert infer_sites([call(0, reply)]).audience_of["c0"] == "code"


@pytest.mark.parametrize(
    "reply",
    [
        "Here you go:\n```\nx\n```",
        "```\na\n```\nand\n```\nb\n```",
        "[see above] for it",
        "",
        "<b>Hello</b> there",
        "[1, 2",
    ],
)
def test_prose_is_for_a_person(reply: str) -> None:
    assert infer_sites([call(0, reply)]).audience_of["c0"] == "human"


def test_prompts_and_tools_that_differ_in_every_call_do_not_shatter_a_site() -> None:
    tools = [[{"type": "function", "function": {"name": f"f{chr(97 + i)}"}}] for i in range(20)]
    calls = [call(i, act(), system=f"Persona {chr(97 + i)}", tools=tools[i]) for i in range(20)]
    assert len(infer_sites(calls).sites) == 1


def test_names_hold_no_prompt_text() -> None:
    (site,) = infer_sites([call(0, "hello", system="You serve Emma Johnson.")]).sites
    assert "Emma" not in site.name + site.evidence


def test_nothing_in_nothing_out() -> None:
    assert infer_sites([]).sites == []


@pytest.mark.data
def test_recorded_airline_agent_is_a_mixed_site() -> None:
    path = DATA / "tau_airline_gpt4o.jsonl.gz"
    if not path.exists():
        pytest.skip(f"{path.name} is not here: recorded traffic is not part of the repository")
    (site,) = infer_sites([c for c in read_calls(path) if isinstance(c, Call)]).sites
    assert (site.audience, site.n_human, site.n_code) == ("mixed", 1290, 1164)


def test_a_site_or_agent_that_one_person_alone_calls_is_not_named() -> None:
    calls = [call(i, act(), origin=f"o{i % 3}", site="book") for i in range(9)]
    calls += [call(9 + i, act(), origin="zoe", site="zobafel") for i in range(9)]
    calls += [call(18 + i, act(), origin="zoe", agent="dobafel") for i in range(9)]
    names = [s.name for s in infer_sites(calls, 2).sites]
    assert "desk/book" in names and len(set(names)) == 3 and "obafel" not in " ".join(names)
    assert not any("obafel" in s.agent for s in infer_sites(calls, 2).sites)
    assert "desk/zobafel" in [s.name for s in infer_sites(calls).sites]
