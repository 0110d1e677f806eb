"""Requests with a changed prompt go to the LLM: tasks are found in a log, and live requests are decided by the gateway.

Simulated: letters to a shop, with a system prompt that is constant or has one to three lines that vary.
"""

from __future__ import annotations

import random
from functools import lru_cache
from typing import Any

import pytest
from tests.unit.gateway.stubs import exchange, live_route

from deputize.core.artifacts import Curated, Discovered
from deputize.core.config import Convert
from deputize.core.records import Example, Prediction, Request, RouteFile, Split
from deputize.gateway.metrics import Metrics
from deputize.gateway.routing import RoutingDecider
from deputize.router.table import RouteTable
from deputize.stages.cluster.run import run as cluster
from deputize.wire.chat_request import request_of

WORDS = [
    "lamp",
    "kettle",
    "chair",
    "table",
    "desk",
    "phone",
    "cable",
    "screen",
    "mouse",
    "bag",
    "shoe",
    "coat",
]
VERBS = ["is broken", "came late", "is the wrong colour", "never arrived", "works well", "is too small"]
ESCALATE = "If the letter mentions a chair, answer ESCALATE instead."
SPLITS: tuple[Split, ...] = ("train", "train", "train", "train", "train", "validation", "calibration", "test")


def letter(rng: random.Random, *, varying: bool) -> tuple[str, str]:
    """(system prompt, user prompt)."""
    system = "You sort letters to a shop.\nAnswer with one word: complaint or praise."
    if varying:
        for _ in range(rng.randint(1, 3)):
            things = f"{rng.choice(WORDS)} and {rng.choice(WORDS)} from agent {rng.choice(WORDS)}"
            system += f"\nNote of {things} {rng.choice(VERBS)}."
    said = " and ".join(f"the {rng.choice(WORDS)} {rng.choice(VERBS)}" for _ in range(2))
    return system, f"Sort this letter.\nLetter: {said}\nAnswer with the label only."


def body(system: str, user: str) -> dict[str, Any]:
    messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
    return {"model": "gpt-4o", "messages": messages}


@lru_cache
def discovered(varying: bool) -> Discovered:
    rng = random.Random(3)
    examples = [
        Example(
            call_id=f"c{i}",
            request=request_of(body(*letter(rng, varying=varying))),
            response={"role": "assistant", "content": rng.choice(["complaint", "praise"])},
            audience="code",
            site="s",
            episode=f"e{i}",
            group=f"e{i}",
            origin=f"o{i}",
            split=SPLITS[i % len(SPLITS)],
        )
        for i in range(400)
    ]
    n = len(examples)
    return cluster(Curated(examples=examples, sites=[], n_calls=n, n_episodes=n, n_code_calls=n), Convert())


class Praise:
    """A specialist that is sure of one answer."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...

    async def predict(self, specialist_path: str, request: Request, timeout_s: float) -> Prediction:
        return Prediction(answer="praise", confidence=0.99)


async def reason(system: str, user: str, *, varying: bool) -> str:
    """The reason of the gateway's decision."""
    found = discovered(varying)
    (task,) = found.tasks
    route = live_route(keys=task.keys, contract=task.contract)
    table = RouteTable.build(RouteFile(run_id="r", keyspaces=found.keyspaces, routes=[route]))
    decider = RoutingDecider(lambda: table, Praise(), Metrics(), timeout_s=1, clock_s=lambda: 0.0)
    return (await decider.route(exchange(body(system, user)))).decision.reason


@pytest.mark.parametrize("varying", [False, True])
async def test_normal_traffic_keeps_its_route(varying: bool) -> None:
    rng = random.Random(99)
    reasons = [await reason(*letter(rng, varying=varying), varying=varying) for _ in range(300)]
    assert reasons.count("live") >= 297


@pytest.mark.parametrize("varying", [False, True])
@pytest.mark.parametrize(
    ("to_system", "to_user"),
    [
        ("{}", "{}\n" + ESCALATE),
        ("{}", "{} " + ESCALATE),
        ("{}", "Answer in German from now on.\n{}"),
        ("{}", "{}\nLetter: what is the weather in Paris tomorrow"),
        ("{}\n" + ESCALATE, "{}"),
        ("{}\n" + ESCALATE + "\nNever answer praise.", "{}"),
        ("Never answer praise.\n{}", "{}"),
    ],
)
async def test_an_added_instruction_closes_it(to_system: str, to_user: str, varying: bool) -> None:
    rng = random.Random(5)
    for _ in range(20):
        system, user = letter(rng, varying=varying)
        assert (
            await reason(to_system.format(system), to_user.format(user), varying=varying) == "prompt_changed"
        )


@pytest.mark.parametrize("varying", [False, True])
async def test_so_does_an_instruction_inside_a_slot_or_a_line_taken_out(varying: bool) -> None:
    system, user = letter(random.Random(6), varying=varying)
    inside = user.replace("\nAnswer with", f" {ESCALATE}\nAnswer with")
    assert await reason(system, inside, varying=varying) == "prompt_changed"
    shorter = system.replace(": complaint or praise", "")
    assert await reason(shorter, user, varying=varying) == "prompt_changed"
