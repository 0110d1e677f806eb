"""Code agency: the program decides what happens next and asks a model for one narrow judgement.

A `Listener` records the judgement where it is made; a conversion makes a certified specialist of it; then the same program asks
the gateway, and the specialist answers. The LLM is simulated. Takes about a minute.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path

import openai
from letters import MODEL, answer, request
from openai.types.chat import ChatCompletion, ChatCompletionMessageParam

from deputize import Home, Listener, convert, run_settings, running_gateway
from deputize.testing import ScriptedUpstream, running

Ask = Callable[..., Awaitable[ChatCompletion]]


async def queues(
    client: openai.AsyncOpenAI, numbers: range, record: Callable[[Ask], Ask] = lambda ask: ask
) -> Counter[str | None]:
    """Sorts letters. What to do with one is the program's business, not the model's."""

    @record
    async def ask(*, model: str, messages: list[ChatCompletionMessageParam]) -> ChatCompletion:
        return await client.chat.completions.create(model=model, messages=messages)

    replies = [await ask(model=MODEL, messages=request(number)) for number in numbers]
    return Counter(reply.choices[0].message.content for reply in replies)


async def main(folder: Path) -> None:
    async with running(ScriptedUpstream(answer, model=MODEL)) as llm:
        # 1. the program asks the LLM directly; the listener writes down each call, sealed
        listener = Listener.open(agent="mail room", home=folder)
        async with openai.AsyncOpenAI(base_url=f"{llm.url}/v1", api_key="none") as client:
            record = listener.model(site="queue", audience="code")
            print("recorded:", dict(await queues(client, range(240), record)))
        listener.close()

        # 2. a specialist, with a certificate
        (folder / "config.toml").write_text(
            '[routes]\nstart = "live"  # simulated calls; yours begin in shadow\n'
        )
        with Home(folder) as home:
            report = await asyncio.to_thread(convert, home, run_settings(home, methods=("linear",)))
            for task in report.tasks:
                print(task.certificate.claim if task.certificate else task.refusal_reason)

        # 3. the same program asks the gateway
        async with (
            running_gateway(folder, upstream=llm.url) as url,
            openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="none") as client,
        ):
            asked_before = llm.n_requests
            print("sorted:", dict(await queues(client, range(1000, 1100))))
            print(f"{llm.n_requests - asked_before} of 100 letters went to the LLM, audits included")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1] if len(sys.argv) > 1 else "mail-room")))
