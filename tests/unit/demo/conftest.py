"""Calls of the simulated agent, made once."""

from __future__ import annotations

import pytest

from deputize.demo import teacher, traffic, world
from deputize.demo.agent import Seen
from deputize.testing.scripted_llm import ScriptedUpstream, running

N = 24


@pytest.fixture
async def seen() -> list[Seen]:
    async with running(ScriptedUpstream(teacher.script(0), model=teacher.MODEL)) as upstream:
        tickets = [world.ticket(0, i) for i in range(N)]
        return await traffic.run_episodes(upstream.url + "/v1", tickets, feedback=False)
