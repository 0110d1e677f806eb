"""Several tenants behind one gateway: keys of their own, runs of their own, and specialists that answer for nobody else.

The LLM is simulated. Takes about a minute.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import openai
from letters import MODEL, answer, request

from deputize import Home, convert_all, run_settings, running_gateway
from deputize.testing import ScriptedUpstream, running

TENANTS = ("north", "south")


async def ask(url: str, key: str, numbers: range) -> int:
    """Sends letters with a tenant's key; how many a specialist answered."""
    n_served = 0
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key=key) as client:
        for number in numbers:
            reply = await client.chat.completions.with_raw_response.create(
                model=MODEL,
                messages=request(number),
                extra_headers={"x-deputize-agent": "mail room", "x-deputize-audience": "code"},
            )
            n_served += reply.headers["x-deputize-served-by"] == "slm"
    return n_served


async def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    # settings come first: once there are keys, a changed config.toml has to be accepted
    (folder / "config.toml").write_text(
        '[routes]\nstart = "live"  # simulated calls; yours begin in shadow\n'
    )
    with Home(folder) as home:
        keys = {tenant: home.api_keys.create("ingest", tenant=tenant).text for tenant in TENANTS}
    async with running(ScriptedUpstream(answer, model=MODEL)) as llm:
        async with running_gateway(folder, upstream=llm.url) as url:
            await ask(url, keys["north"], range(240))
            await ask(
                url, keys["south"], range(20)
            )  # too few: its run says so, and north's specialist is not for it

        with Home(folder) as home:
            settings = run_settings(home, methods=("linear",))
            for report in await asyncio.to_thread(convert_all, home, settings):
                said = report.nothing_trained_reason or f"{report.total.n_routes} certified route(s)"
                print(f"{report.tenant}: {report.source.n_calls} calls; {said}")

        async with running_gateway(folder, upstream=llm.url) as url:
            for tenant, key in keys.items():
                n = await ask(url, key, range(1000, 1050))
                print(f"{tenant}: {n} of 50 new letters answered by a specialist of its own")


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1] if len(sys.argv) > 1 else "tenants")))
