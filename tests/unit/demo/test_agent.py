"""The simulated agent: both agency modes, all seven sites, and what it does with nonsense."""

from __future__ import annotations

import json
from collections import Counter

from tests.unit.demo.conftest import N

from deputize.core.contracts import text_of
from deputize.demo import prompts, traffic, world
from deputize.demo.agent import Seen
from deputize.testing import always
from deputize.testing.scripted_llm import ScriptedUpstream, running


async def test_seven_sites_and_two_modes(seen: list[Seen]) -> None:
    sites = Counter(s.site for s in seen)
    assert sites == {
        "triage": N,
        "extract": N,
        "policy_check": N,
        "case_line": N,
        "follow_up": N,
        "reply": N // 2,
        "next_action": 2 * N,
    }
    tickets = [world.ticket_in(0, text_of(s.messages[1])) for s in seen if s.site == "next_action"]
    by_mode = Counter(ticket and ticket.mode for ticket in tickets)
    assert by_mode == {"code": N // 2, "model": 3 * N // 2}


async def test_tool_arguments_keep_to_the_schema(seen: list[Seen]) -> None:
    schemas = {t["function"]["name"]: t["function"]["parameters"] for t in prompts.TOOLS}
    for one in seen:
        for call in one.response.get("tool_calls", ()):
            schema = schemas[call["function"]["name"]]
            arguments = json.loads(call["function"]["arguments"])
            assert list(arguments) == schema["required"]
            for name, value in arguments.items():
                assert value in schema["properties"][name].get("enum", [value])


async def test_answers_that_make_no_sense_do_not_stop_the_agent() -> None:
    async with running(ScriptedUpstream(always("{nonsense"))) as upstream:
        tickets = [world.ticket(0, i) for i in range(4)]
        seen = await traffic.run_episodes(upstream.url + "/v1", tickets, feedback=False)
    assert {s.site for s in seen} >= {"triage", "extract", "next_action", "reply", "follow_up"}
