"""Many episodes at once: failures of the LLM, and a limit on the number of calls."""

from __future__ import annotations

import pytest

from deputize.core.errors import UpstreamError
from deputize.demo import teacher, traffic, world
from deputize.testing import failing
from deputize.testing.scripted_llm import ScriptedUpstream, running


async def test_an_upstream_that_fails_is_a_sentence() -> None:
    async with running(ScriptedUpstream(failing(500))) as upstream:
        with pytest.raises(UpstreamError, match="no answer from"):
            await traffic.run_episodes(upstream.url + "/v1", [world.ticket(0, 0)], feedback=False)


async def test_so_many_calls_and_no_more() -> None:
    async with running(ScriptedUpstream(teacher.script(0))) as upstream:
        tickets = [world.ticket(0, i) for i in range(50)]
        told: list[tuple[int, int | None]] = []
        seen = await traffic.run_episodes(
            upstream.url + "/v1",
            tickets,
            feedback=False,
            max_calls=40,
            progress=lambda _, done, total=None: told.append((done, total)),
        )
    assert len(seen) == 40
    assert told[-1] == (40, 40)
