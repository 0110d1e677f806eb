"""Evidence of whom plain texts are for."""

from __future__ import annotations

from typing import Any

import pytest

from deputize.core.records import Call, Message
from deputize.stages.collect.audience import infer_sites
from deputize.stages.collect.reply_evidence import grammar_of

AGENTS: dict[str, str] = {
    "rewrite": "Rewrite the question as a search query. Output only the query.",
    "answer": "You are the guide of a museum.",
}


def call(
    n: int, reply: str | Message, *said: Message, site: str = "", episode: str = "", **more: Any
) -> Call:
    response: Message = {"role": "assistant", "content": reply} if isinstance(reply, str) else reply
    system: Message = {"role": "system", "content": AGENTS.get(site, site)}
    return Call(
        id=f"{site}{n}",
        messages=[system, *said],
        response=response,
        episode=episode,
        agent="a",
        site=site,
        **more,
    )


def user(text: str) -> Message:
    return {"role": "user", "content": text}


def audiences(calls: list[Call], **settings: Any) -> dict[str, tuple[str, int]]:
    return {s.name: (s.audience, s.n_unsure) for s in infer_sites(calls, **settings).sites}


@pytest.mark.parametrize(
    ("text", "grammar"),
    [
        ("SELECT name FROM t", "SQL"),
        ("[('NULL', 'food', 'positive')]", "values in brackets"),
        ("Here is the breakdown:\n\n[('a', 'b')]", "values in brackets"),
        ("Thought: look it up\nAction: search[x]", "fields that begin with 'thought'"),
        ("name: Ulm\nsize: 3", "named fields"),
        ("- one\n- two", "a list"),
        ("a | b\nc | d", "columns"),
        ("42.5 %", "a number"),
        ("(A) Better", "one lettered option"),
        ("def f():\n    return 1", "code"),
        ("Dear guest, your seat is booked.", ""),
        ("Well: it depends on you.\nMany things do.\nMore so today.", ""),
        ("", ""),
    ],
)
def test_forms_that_a_program_could_read(text: str, grammar: str) -> None:
    assert grammar_of(text) == grammar


def test_texts_that_stand_in_later_requests_or_in_a_tools_arguments_are_read_by_code() -> None:
    calls = []
    for n in range(6):
        plan = f"First look at wing number {n}, then at the old clock in the hall."
        calls.append(call(n, plan, user(f"visit {n}"), site="plan", episode=f"e{n}"))
        if n % 2:
            calls.append(
                call(n, f"words {n} that you may read", user(f"Plan:\n{plan}"), site="write", episode=f"e{n}")
            )
        else:
            made = {"id": "1", "function": {"name": "save", "arguments": f'{{"plan": "{plan}"}}'}}
            act: Message = {"role": "assistant", "content": None, "tool_calls": [made]}
            calls.append(call(n, act, user("go on"), site="act", episode=f"e{n}"))
    found = audiences(calls)
    assert found["a/plan"] == ("code", 0) and found["a/write"] == ("human", 0)


def test_what_the_request_held_already_is_no_evidence() -> None:
    line = "The museum has forty rooms on three floors."
    calls = [
        c
        for n in range(6)
        for c in (
            call(n, line, user(line), site="echo", episode=f"e{n}"),
            call(n, f"fine words {n}", user(line), site="next", episode=f"e{n}"),
        )
    ]
    assert audiences(calls)["a/echo"] == ("human", 6)


def test_texts_that_somebody_answers_are_for_a_person_whatever_was_asked_for() -> None:
    calls = []
    for n in range(6):
        said = f"Rooms {n} and {n + 1} hold the paintings of that time."
        history: list[Message] = [
            user(f"where {n}"),
            {"role": "assistant", "content": said},
            user("and then?"),
        ]
        calls.append(call(n, said, user(f"where {n}"), site="rewrite", episode=f"e{n}"))
        calls.append(
            call(100 + n, f"Then go on to hall {n} upstairs.", *history, site="rewrite", episode=f"e{n}")
        )
    assert audiences(calls)["a/rewrite"] == ("human", 0)


def test_a_transformation_that_nobody_answers_is_read_by_code() -> None:
    calls = [
        call(n, f"opening hours museum Ulm {n}", user(f"when is it open {n}?"), site="rewrite")
        for n in range(6)
    ]
    assert audiences(calls)["a/rewrite"] == ("code", 0)
    spoken = [call(n, f"You can rewrite it so, number {n}.", user("q"), site="rewrite") for n in range(6)]
    assert audiences(spoken)["a/rewrite"] == ("human", 0)


def test_where_nothing_speaks_clearly_the_site_says_so_and_can_be_told() -> None:
    calls = [call(n, f"The rooms are large, number {n}.", user(f"q {n}"), site="answer") for n in range(6)]
    assert audiences(calls)["a/answer"] == ("human", 6)
    for name in ("a/answer", "a", "*"):
        assert audiences(calls, audience={name: "code"})["a/answer"] == ("code", 0)
    assert audiences(calls, audience={"other": "code"})["a/answer"] == ("human", 6)
    grammar = [call(n, f"SELECT {n} FROM t", user(f"q {n}"), site="sql") for n in range(6)]
    assert audiences(grammar)["a/sql"] == ("code", 0)
    assert audiences(grammar, audience={"a/sql": "human"})["a/sql"] == ("human", 0)


def test_evidence_holds_no_text_of_the_log() -> None:
    calls = [call(n, f"Anna Schmidt {n} lives in room four.", user("who?"), site="answer") for n in range(6)]
    (site,) = infer_sites(calls).sites
    assert "Schmidt" not in site.evidence and "unsure" in site.evidence


def test_agents_that_say_you_to_each_other_are_not_taken_for_people() -> None:
    said = ["You should try the second door first.", "The second door is locked from the inside."]
    calls = [call(n, f"{said[n % 2]} Step {n}.", user(f"think {n}"), site="reason") for n in range(10)]
    assert audiences(calls)["a/reason"] == ("human", 10), "unsure"
    spoken = [
        call(n, f"{said[n % 2]} Step {n}.", user(f"q {n}"), site="You chat with guests.") for n in range(10)
    ]
    assert audiences(spoken)["a/You chat with guests."] == ("human", 0)
