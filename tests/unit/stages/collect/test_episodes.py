"""Calls of one run are linked without its name: by histories, ids, sessions and people; others are not."""

from __future__ import annotations

import random
from typing import Any

import msgspec
import pytest

from deputize.core.records import Call
from deputize.stages.collect.episodes import link_episodes
from deputize.stages.curate.run import LinkedLog

LONG = "a reply that is long enough to be recognised wherever it appears again, " * 2
SYSTEM = {"role": "system", "content": "You are an agent."}


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def said(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def call(id: str, messages: list[dict[str, Any]], reply: Any = "ok", **more: Any) -> Call:
    return Call(id=id, messages=messages, response=said(reply) if isinstance(reply, str) else reply, **more)


def dialogue(name: str, n_steps: int, start: float | None = 0.0, **more: Any) -> list[Call]:
    history, out = [SYSTEM, user(f"job {name}")], []
    for step in range(n_steps):
        time = None if start is None else start + step
        out.append(call(f"{name}-{step}", list(history), f"step {step} of {name}", timestamp=time, **more))
        history += [out[-1].response, user(f"result {step} for {name}")]
    return out


def sets(calls: list[Call]) -> set[frozenset[str]]:
    """The ids of the calls of each episode, those that stand alone included."""
    links = link_episodes(calls)
    members: dict[str, set[str]] = {}
    for one in LinkedLog(calls, links.episode_of):
        members.setdefault(one.episode or one.id, set()).add(one.id)
    return {frozenset(ids) for ids in members.values()}


@pytest.mark.parametrize("timed", [True, False])
def test_a_hundred_dialogues_in_any_order(timed: bool) -> None:
    calls = [one for e in range(100) for one in dialogue(f"d{e}", 10, e * 3.0 if timed else None)]
    expected = {frozenset(f"d{e}-{s}" for s in range(10)) for e in range(100)}
    shuffled = random.Random(1).sample(calls, len(calls))
    assert sets(calls) == sets(shuffled) == expected
    links = link_episodes(calls)
    assert links.linked_by["history"] == len(links.episode_of) == 1000 and links.basis == "history"
    if timed:
        assert link_episodes(shuffled).episode_of == links.episode_of


def test_ids_white_space_and_the_layout_of_json_do_not_matter() -> None:
    def asks(id: str, arguments: str) -> dict[str, Any]:
        function = {"name": "find", "arguments": arguments}
        return {"role": "assistant", "content": None, "tool_calls": [{"id": id, "function": function}]}

    first = call("a", [SYSTEM, user("find it")], asks("x1", '{"q": 1, "n": [2]}'))
    again = [
        {"role": "system", "content": "It is ten past four."},
        user(" find it\n"),
        asks("1", '{"n":[2],"q":1}'),
        {"role": "tool", "tool_call_id": "1", "content": "found"},
    ]
    assert sets([first, call("b", again)]) == {frozenset("ab")}


def test_equal_prompts_are_no_episode_and_their_runs_stay_apart() -> None:
    runs = [dialogue("x", 3, start) for start in (0.0, 10.0, 100.0)]
    calls = [msgspec.structs.replace(c, id=f"{r}-{c.id}") for r, run in enumerate(runs) for c in run]
    assert sets(calls) == {frozenset(f"{r}-x-{s}" for s in range(3)) for r in range(3)}
    assert len(sets([call(f"r{i}", [user("do the daily job")], timestamp=float(i)) for i in range(9)])) == 9


def test_a_sibling_with_another_reply() -> None:
    first = call("a", [user("plan a trip")], "as it was recorded")
    edited = call("b", [user("plan a trip"), said("as the agent edited it"), user("go on")])
    assert sets([first, edited]) == {frozenset("ab")}
    template = call("c", [user("plan a trip"), user("and another")])
    assert sets([first, template]) == {frozenset("a"), frozenset("c")}


@pytest.mark.parametrize("timed", [True, False])
def test_examples_in_a_prompt_are_no_history(timed: bool) -> None:
    example = [user("where is my card"), said("card_arrival")]
    calls = [
        call(f"c{i}", [*example, user(f"question {i}")], "x", timestamp=float(i) if timed else None)
        for i in range(100)
    ]
    asked = call("e", example[:1], "card_arrival", timestamp=50.5 if timed else None)
    assert len(sets([*calls, asked])) == 101


def test_trimmed_histories_are_linked_by_tool_ids_and_long_replies() -> None:
    asks = {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"id": "call_8f3a", "function": {"name": "f", "arguments": "{}"}}],
    }
    result = {"role": "tool", "tool_call_id": "call_8f3a", "content": "42"}
    assert sets([call("a", [user("go")], asks), call("b", [user("summary of it"), asks, result])]) == {
        frozenset("ab")
    }
    assert sets([call("a", [user("go")], LONG), call("b", [user("summary"), said(LONG), user("on")])]) == {
        frozenset("ab")
    }
    # an id or a reply that several calls have given is no evidence
    several = [call("a", [user("go")], asks), call("c", [user("walk")], asks)]
    assert len(sets([*several, call("b", [user("summary of it"), asks, result])])) == 3


def test_responses_and_sessions() -> None:
    first = call("dpz-1", [user("one")], response_id="resp_of_upstream")
    later = call("b", [user("two")], params={"previous_response_id": "resp_of_upstream"})
    own = call("c", [user("three")], params={"previous_response_id": "resp_dpz-1"})
    assert sets([first, later, own]) == {frozenset({"dpz-1", "b", "c"})}
    for params in (
        {"conversation": {"id": "conv_1"}},
        {"metadata": {"session_id": "s1"}},
        {"metadata": {"user_id": "user_7_session_9"}},
    ):
        calls = [call(f"c{i}", [user(f"text {i}")], params=params) for i in range(3)]
        links = link_episodes([*calls, call("other", [user("text")])])
        assert len(set(links.episode_of.values())) == 1 and links.linked_by["session"] == 3


def test_a_person_is_an_episode_only_close_in_time() -> None:
    times = (0.0, 600.0, 10_000.0)
    calls = [call(f"p{t:g}", [user(f"text {t}")], origin="anna", timestamp=t) for t in times]
    assert sets(calls) == {frozenset({"p0", "p600"}), frozenset({"p10000"})}
    assert len(sets([msgspec.structs.replace(c, timestamp=None) for c in calls])) == 3
    program = [call(f"c{i}", [user(f"text {i}")], origin="app", timestamp=float(i)) for i in range(100)]
    assert len(sets(program)) == 100


def test_the_calls_of_a_person_are_chained_in_order_of_time() -> None:
    times = (3000.0, 0.0, 1500.0)
    calls = [call(f"p{t:g}", [user(f"text {t}")], origin="anna", timestamp=t) for t in times]
    assert sets(calls) == {frozenset({"p0", "p1500", "p3000"})}, "each within half an hour of the one before"
    at = [0.0, 1700.0, 3600.0]
    bob = [call(f"b{t:g}", [user(f"note {t}")], origin="bob", timestamp=t) for t in at]
    elsewhere = [call("b2000", [user("note")], origin="bob", tenant="b", timestamp=2000.0)]
    assert sets([*bob, *elsewhere]) == {
        frozenset({"b0", "b1700"}),
        frozenset({"b3600"}),
        frozenset({"b2000"}),
    }


def test_a_person_does_not_join_what_something_else_links() -> None:
    one, two = dialogue("one", 3, origin="anna"), dialogue("two", 3, 0.5, origin="anna")
    alone = call("alone", [user("thanks")], origin="anna", timestamp=60.0)
    named = call("named", [user("other")], origin="anna", episode="run-7", timestamp=61.0)
    found = sets([*one, *two, alone, named])
    assert found == {
        frozenset(c.id for c in one),
        frozenset([*(c.id for c in two), "alone"]),
        frozenset({"named"}),
    }


def test_a_person_may_ask_much_where_the_log_is_long() -> None:
    def log(n_others: int) -> list[Call]:
        mine = [call(f"p{i}", [user(f"text {i}")], origin="anna", timestamp=float(i)) for i in range(60)]
        others = [
            call(f"o{i}", [user(f"note {i}")], origin=f"person {i}", timestamp=float(i))
            for i in range(n_others)
        ]
        return [*mine, *others]

    assert len(sets(log(500))) == 560, "more than a tenth of the log: a program"
    assert len(sets(log(600))) == 601


def test_names_in_the_log_win() -> None:
    named = dialogue("n", 3, episode="run-7")
    unnamed = msgspec.structs.replace(named[2], episode="", id="late")
    links = link_episodes([*named, unnamed])
    assert links.episode_of == {"late": "run-7"} and links.linked_by["header"] == 3
    other = [msgspec.structs.replace(c, episode=f"run-{i}") for i, c in enumerate(named)]
    assert len(sets(other)) == 3 and link_episodes(other).basis == "header"


def test_tenants_are_apart_and_nothing_at_all_is_said_so() -> None:
    one, two = dialogue("d", 2, None)
    assert len(sets([one, msgspec.structs.replace(two, tenant="b")])) == 2
    links = link_episodes([call("a", [user("x")]), call("b", [user("y")])])
    assert links.basis == "none" and links.episode_of == {}
    assert link_episodes([call("a", [user("x")], timestamp=1.0)]).basis == "history"
