"""The simplest agent: asks for the queue of each letter, one call a letter. `python examples/send_letters.py 240 [FIRST]`"""

from __future__ import annotations

import os
import sys
from collections import Counter

import openai
from letters import MODEL, request

URL = os.environ.get("DEPUTIZE_URL", "http://127.0.0.1:8790")


def main(n_letters: int, first: int) -> None:
    served_by: Counter[str] = Counter()
    with openai.OpenAI(base_url=f"{URL}/v1", api_key=os.environ.get("OPENAI_API_KEY", "none")) as client:
        for number in range(first, first + n_letters):
            reply = client.chat.completions.with_raw_response.create(
                model=MODEL,
                messages=request(number),
                extra_headers={"x-deputize-agent": "mail-room", "x-deputize-site": "queue"},
            )
            served_by[reply.headers["x-deputize-served-by"]] += 1
    print(f"{n_letters} letters: {served_by['llm']} answered by the LLM, {served_by['slm']} by a specialist")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
