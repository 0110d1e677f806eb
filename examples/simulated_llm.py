"""A simulated LLM, for those who want to try the gateway without an account anywhere: a script answers, no model.

python examples/simulated_llm.py --port 8800 --latency-ms 300 &
deputize serve --upstream http://127.0.0.1:8800
"""

from __future__ import annotations

import argparse
import asyncio

from letters import MODEL, answer

from deputize.testing import Latency, ScriptedUpstream, running


async def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=8800)
    parser.add_argument("--latency-ms", type=float, default=0.0, help="of each answer")
    options = parser.parse_args()
    latency = Latency(options.latency_ms, 0.0)
    async with running(ScriptedUpstream(answer, model=MODEL, port=options.port, latency=latency)) as llm:
        print(f"The simulated LLM listens at {llm.url}/v1. Ctrl-C ends it.")
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
