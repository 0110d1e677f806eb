"""Many episodes of the simulated agent at once, through whatever answers at a base URL."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from deputize.core.errors import MissingExtra, UpstreamError
from deputize.core.progress import Progress, silent
from deputize.demo import world
from deputize.demo.agent import HelpDesk, Seen
from deputize.demo.teacher import MODEL


async def run_episodes(
    base_url: str,
    tickets: Iterable[world.Ticket],
    *,
    concurrency: int = 8,
    max_calls: int | None = None,
    feedback: bool = True,
    what: str = "simulated traffic",
    progress: Progress = silent,
    timeout_s: float = 60.0,
) -> list[Seen]:
    """Let the agent work on the tickets, so many at a time and in their order; every call it made.

    Args:
        base_url: of an OpenAI-compatible server, with /v1.
        max_calls: start no further episode once so many calls were made; None for no limit.
        feedback: post the outcome of each episode to the gateway.

    Raises:
        MissingExtra: the openai client is not installed.
        UpstreamError: the server answered with an error or not at all.
    """
    try:
        import openai
    except ImportError as error:
        raise MissingExtra.package("openai", "demo") from error
    todo = list(tickets)
    queue = iter(todo)
    client = openai.AsyncOpenAI(base_url=base_url, api_key="simulated", timeout=timeout_s, max_retries=0)
    desk = HelpDesk(client, model=MODEL, feedback=feedback)
    done = 0

    async def work() -> None:
        nonlocal done
        for ticket in queue:
            if max_calls is not None and len(desk.seen) >= max_calls:
                return
            await desk.handle(ticket)
            done += 1
            if max_calls is None:
                progress(what, done, len(todo))
            else:
                progress(what, min(len(desk.seen), max_calls), max_calls)

    try:
        async with client, asyncio.TaskGroup() as group:
            for _ in range(concurrency):
                group.create_task(work())
    except* openai.OpenAIError as errors:
        first = errors.exceptions[0]
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        raise UpstreamError(f"the simulated agent got no answer from {base_url}: {first}") from first
    return desk.seen[:max_calls] if max_calls is not None else desk.seen
