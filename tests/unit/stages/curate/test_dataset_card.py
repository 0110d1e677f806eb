"""The dataset card: counts, measured recall, and nothing personal."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from deputize.core.artifacts import Curated
from deputize.core.config import Convert
from deputize.core.records import Call, Message, Outcome
from deputize.privacy.detectors.base import Detector
from deputize.privacy.detectors.deobfuscate import DeobfuscatingDetector
from deputize.privacy.detectors.rules import RuleDetector
from deputize.privacy.standard_detectors import DetectorSet
from deputize.stages.collect.audience import infer_sites
from deputize.stages.curate.dataset_card import MASKED, CardCounts, dataset_card
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


def card_of(curated: Curated) -> str:
    return dataset_card(curated, CardCounts(curated.examples), Convert())


def test_the_card_holds_counts_and_nothing_personal(curated: Curated) -> None:
    card = card_of(curated)
    for said in (
        'De-identified at level "standard" by rules',
        "recall of this set",
        "failed episode",
        "k (people)",
        "| failed episode |",
        "may be used for training is in the terms",
        "| Faker |",
        "MIT",
    ):
        assert said in card
    assert "anonymised" not in card and "does not say who asked" in card
    for n in range(60):
        assert not any(part in card for part in (*person(n), f"555-{2000 + n}"))
    assert "| train | 58 |" in card and "| test | 12 |" in card


def test_the_card_masks_a_site_that_is_called_like_a_person() -> None:
    calls = [
        msgspec.structs.replace(c, agent="desk of mia.li@mail.com", origin=f"o{i % 9}")
        for i, c in enumerate(log(20))
    ]
    card = card_of(curate(calls))
    assert "mia.li" not in card and MASKED in card and "from 9 known origins" in card


def test_the_card_names_the_measured_recall_of_the_detectors_that_were_used(curated: Curated) -> None:
    used = msgspec.structs.replace(curated, detectors=["presidio", "rules", "spacy"])
    assert "pii_anon" in card_of(used)


def test_the_card_says_what_is_counted_as_independent(curated: Curated) -> None:
    facts = msgspec.structs.replace(
        curated, linked_by={"none": 7}, linkage="none", n_groups_joined=3, n_people=5, split_by_person=False
    )
    card = card_of(facts)
    assert "7 that nothing links to others. Calls are counted as independent: nothing in the log" in card
    assert "3 groups repeat the prompts of others" in card
    assert "of 5 people: split by episode; a new person may differ." in card
    assert "split by person, so" in card_of(msgspec.structs.replace(facts, split_by_person=True))


def test_a_name_of_the_log_is_no_tag_and_steers_no_terminal() -> None:
    """Whoever calls names the site, and others read the card as Markdown or at a terminal."""
    name = "shop<img src=x onerror=alert(1)>\x1b]0;title\x07"
    card = card_of(
        curate([msgspec.structs.replace(c, agent=name, origin=f"o{i % 9}") for i, c in enumerate(log(20))])
    )
    assert "<img" not in card and "&lt;img" in card
    assert all(c.isprintable() or c == "\n" for c in card)
