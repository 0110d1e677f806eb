"""The teacher says what is true of a ticket, wrong now and then if asked to, and nothing to others."""

from __future__ import annotations

from collections import Counter

import pytest
from tests.unit.demo.conftest import N

from deputize.core.contracts import parse_json_object, text_of
from deputize.demo import prompts, teacher, world
from deputize.demo.agent import Seen
from deputize.testing.scripted_llm import ScriptError


async def test_the_teacher_says_what_is_true(seen: list[Seen]) -> None:
    for one in seen:
        ticket = world.ticket(0, int(one.episode.split("-T-")[1]) - world.FIRST_TICKET)
        said = text_of(one.response)
        if one.site == "triage":
            assert parse_json_object(said) == {"intent": ticket.intent, "urgency": ticket.urgency}
        elif one.site == "extract":
            parsed = parse_json_object(said)
            assert parsed is not None and parsed["order_id"] == ticket.order_id
        elif one.site == "policy_check":
            assert said == ("yes" if ticket.allowed else "no")
        elif one.site == "case_line":
            assert said.startswith(f"{ticket.intent} | {ticket.product} | order {ticket.order_id} | policy ")
        elif one.site == "follow_up":
            head, _, what = said.partition(": ")
            assert head == f"{ticket.product}, order {ticket.order_id}"
            assert f'"{what}"' in prompts.FOLLOW_UP and ticket.answered in text_of(one.messages[1])
    called = Counter(c["function"]["name"] for s in seen for c in s.response.get("tool_calls", ()))
    assert called["lookup_order"] == N // 2
    assert set(called) <= {t["function"]["name"] for t in prompts.TOOLS}
    assert sum(called.values()) == N + N // 2


def test_the_teacher_refuses_what_it_does_not_play() -> None:
    answer = teacher.script(0)
    for messages in (
        [],
        [{"role": "user", "content": "hello"}],
        [{"role": "system", "content": prompts.INTENT}, {"role": "user", "content": "no number"}],
    ):
        with pytest.raises(ScriptError):
            answer({"messages": messages})


async def test_noise_makes_the_teacher_wrong_now_and_then_but_always_alike(seen: list[Seen]) -> None:
    noisy = teacher.script(0, noise=0.3)
    triage = [s for s in seen if s.site == "triage"]
    twice = [[text_of(noisy({"messages": s.messages})) for s in triage] for _ in range(2)]
    assert twice[0] == twice[1]
    assert 0 < sum(a != text_of(s.response) for a, s in zip(twice[0], triage, strict=True)) < N
