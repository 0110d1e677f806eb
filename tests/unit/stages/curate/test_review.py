"""The calls that curation dropped: each with its reason."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from deputize.core.artifacts import Curated
from deputize.core.config import Convert
from deputize.core.records import Call, Message, Outcome
from deputize.privacy.detectors.base import Detector
from deputize.privacy.detectors.deobfuscate import DeobfuscatingDetector
from deputize.privacy.detectors.rules import RuleDetector
from deputize.privacy.standard_detectors import DetectorSet
from deputize.stages.collect.audience import infer_sites
from deputize.stages.curate.review import DroppedCall, dropped_calls
from deputize.stages.curate.run import run

KEY = b"k" * 32


RULES: list[Detector] = [DeobfuscatingDetector(RuleDetector())]


FIRST = [
    "Mia",
    "Omar",
    "Sofia",
    "Ivan",
    "Noah",
    "Emma",
    "Liam",
    "Olivia",
    "Lucas",
    "Chloe",
    "Ethan",
    "Amelia",
]


LAST = [
    "Silva",
    "Rossi",
    "Kovacs",
    "Muller",
    "Garcia",
    "Santos",
    "Johnson",
    "Smith",
    "Davis",
    "Lopez",
    "Martin",
]


SYSTEM = "You are the desk of Example Air, call +1 (800) 555-0100 or write to desk@example-air.com.\nAnswer as JSON with intent, one of: book, cancel."


TOOL = {
    "type": "function",
    "function": {
        "name": "find_user",
        "parameters": {
            "type": "object",
            "properties": {"user_id": {"type": "string"}},
            "required": ["user_id"],
        },
    },
}


def curate(calls: list[Call], **settings: Any) -> Curated:
    return run(calls, infer_sites(calls), Convert(**settings), key=KEY, detectors=DetectorSet(RULES))


def person(n: int) -> tuple[str, str]:
    return FIRST[n % len(FIRST)], LAST[n % len(LAST)]


def log(n_episodes: int = 60) -> list[Call]:
    """Two steps an episode: an intent as JSON, then a tool call with the person's log-in."""
    calls: list[Call] = []
    for n in range(n_episodes):
        first, last = person(n)
        login = f"{first}_{last}_{1000 + 7 * n}".lower()
        said = f"My name is {first} {last}, user ID is {login}, phone (212) 555-{2000 + n}. Please {'book' if n % 2 else 'cancel'} flight {100 + n}."
        start: list[Message] = [{"role": "system", "content": SYSTEM}, {"role": "user", "content": said}]
        answer = {
            "role": "assistant",
            "content": json.dumps({"intent": "book" if n % 2 else "cancel", "name": f"{first} {last}"}),
        }
        act = {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "t",
                    "type": "function",
                    "function": {
                        "name": "find_user",
                        "arguments": json.dumps({"user_id": login, "phone": f"212555{2000 + n}"}),
                    },
                }
            ],
        }
        common: dict[str, Any] = {
            "agent": "desk",
            "episode": f"run-{login}",
            "group": f"task-{login}",
            "outcome": Outcome(success=n % 5 != 0),
        }
        calls.append(Call(id=f"c{n}-0", messages=start, response=answer, step=0, site="intent", **common))
        calls.append(
            Call(
                id=f"c{n}-1",
                messages=[*start, answer],
                response=act,
                step=1,
                site="act",
                tools=[TOOL],
                **common,
            )
        )
    return calls


@pytest.fixture(scope="module")
def curated() -> Curated:
    return curate(log())


def dropped_of(curated: Curated) -> list[DroppedCall]:
    return list(dropped_calls([*curated.examples, curated]))


def test_every_drop_has_its_reason_in_the_side_table(curated: Curated) -> None:
    odd = Call(
        id="odd",
        messages=[{"role": "user", "content": "take kQ7zL2mX9vB4nR8tW3yP6cD please"}],
        response={"role": "assistant", "content": "{}"},
        agent="desk",
        site="intent",
        tenant="t",
    )
    chat = [
        Call(
            id=f"h{i}",
            messages=[{"role": "user", "content": f"hi {i}"}],
            response={"role": "assistant", "content": f"Hello, {i} times."},
            agent="chat",
        )
        for i in range(5)
    ]
    out = curate([*log(30), odd, *chat])
    rows = {d.call_id: d for d in dropped_of(out)}
    assert Counter(d.reason for d in rows.values()) == out.dropped
    assert rows["odd"].reason == "quarantined: API_KEY" and rows["odd"].example is None
    assert sum(d.reason == "site that speaks to people only" for d in rows.values()) == 5
    assert {w.tenant for w in out.withheld} == {"t", ""}
    assert {d.split for d in rows.values() if d.example} <= {"train", "validation"}
    assert {e.call_id for e in out.examples} | {w.call_id for w in out.withheld} == {
        c.id for c in [*log(30), odd, *chat]
    }
