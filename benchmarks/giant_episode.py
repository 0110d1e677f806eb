"""Curation over one giant episode whose history grows with every call, as agents' do, and whose every call names
somebody new.

SIMULATED. The log itself grows with the square of the calls, for each repeats what came before it; what is measured is
whether the work grows with the log or faster. By the rules alone, so that nothing but the work of curation itself
counts.

    python -m benchmarks.giant_episode 250 500 1000
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections.abc import Iterator, Sequence

from deputize.core.config import Convert
from deputize.core.records import Call, Example, Message
from deputize.privacy.detectors.rules import RuleDetector
from deputize.privacy.replace.replacer import Replacer
from deputize.privacy.replace.surrogates import Surrogates
from deputize.privacy.standard_detectors import DetectorSet
from deputize.stages.collect.audience import infer_sites
from deputize.stages.curate.run import run

KEY = b"k" * 32
TOOL = {
    "type": "function",
    "function": {"name": "look", "parameters": {"type": "object", "properties": {"q": {"type": "string"}}}},
}


def word(rng: random.Random, n: int) -> str:
    """A word that sounds like a name."""
    return "".join(rng.choice("bcdfghklmnprstvz" if i % 2 == 0 else "aeiou") for i in range(n))


def letters(n: int, seed: int = 1) -> tuple[list[tuple[str, str]], list[str]]:
    """(personal values with their types, texts) of n steps; four new values a step."""
    rng = random.Random(seed)
    found: list[tuple[str, str]] = []
    texts: list[str] = []
    for i in range(n):
        name = f"{word(rng, 7).title()} {word(rng, 9).title()}"
        mail = f"{word(rng, 7)}.{word(rng, 7)}@{word(rng, 7)}.example"
        phone = "".join(rng.choice("123456789") for _ in range(10))
        key = f"sk-{word(rng, 20)}"
        found += [("PERSON", name), ("EMAIL_ADDRESS", mail), ("PHONE_NUMBER", phone), ("API_KEY", key)]
        texts.append(
            f"Customer {name} wrote from {mail}, phone {phone[:3]} {phone[3:]}; token {key}. Please check the order and "
            f"answer in one line, number {i}."
        )
    return found, texts


class Episode:
    """The calls of one run of an agent, made again each time they are read."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts

    def __iter__(self) -> Iterator[Call]:
        said: list[Message] = [{"role": "system", "content": "You act on letters with tools."}]
        for i, text in enumerate(self._texts):
            said.append({"role": "user", "content": text})
            function = {"name": "look", "arguments": json.dumps({"q": f"order {i}"})}
            reply: Message = {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": f"c{i}", "type": "function", "function": function}],
            }
            yield Call(
                id=f"c{i}",
                messages=list(said),
                response=reply,
                episode="one",
                agent="desk",
                tools=[TOOL],
                timestamp=1.7e9 + i,
            )
            said += [reply, {"role": "tool", "tool_call_id": f"c{i}", "content": f"order {i} is there"}]


def replacing(n: int) -> dict[str, float]:
    """Seconds of processor time for the map of n steps and for its texts, each changed and looked through once."""
    found, texts = letters(n)
    began = time.process_time()
    replacer = Replacer(found, Surrogates(KEY), lambda word: False)
    made = time.process_time()
    changed = [replacer(text) for text in texts]
    done = time.process_time()
    assert not any(map(replacer.leaks, changed))
    return {"calls": n, "map_s": made - began, "change_s": done - made, "look_s": time.process_time() - done}


def whole(n: int) -> dict[str, float]:
    """Seconds of processor time for all of curation."""
    log = Episode(letters(n)[1])
    examples: list[str] = []

    def write(example: Example) -> None:
        examples.append(example.call_id)

    began = time.process_time()
    run(log, infer_sites(log), Convert(), key=KEY, detectors=DetectorSet([RuleDetector()]), write=write)
    spent = time.process_time() - began
    # each call repeats what came before it: about three messages a step
    return {"calls": n, "messages": 1.5 * n * n, "s2_s": spent, "us_a_message": spent / (1.5 * n * n) * 1e6}


def main() -> None:
    """Prints a row for each size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("sizes", nargs="+", type=int)
    parser.add_argument("--map-only", action="store_true", help="leave curation as a whole out")
    given = parser.parse_args()
    for n in given.sizes:
        print(json.dumps({**replacing(n), **({} if given.map_only else whole(n))}), flush=True)


if __name__ == "__main__":
    main()
