"""A log of typed decisions is learned from like any other: certified, and answered in its own form."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from tests import tiny_model

from deputize.core.config import Convert
from deputize.core.records import Call
from deputize.home import Home
from deputize.pipeline.conversion import convert
from deputize.router.table import RouteTable
from deputize.routes_file import read_routes
from deputize.wire.registry import DECISIONS

WORDS = {
    "billing": ["charged twice", "a wrong sum", "money back", "the invoice", "a double payment"],
    "login": ["cannot sign in", "the password", "a locked account", "no reset link", "the login page"],
    "delivery": ["no parcel", "the courier", "late order", "a lost box", "the delivery"],
}
FILLERS = [
    "hello",
    "again",
    "please",
    "look",
    "today",
    "about",
    "with",
    "since",
    "yesterday",
    "for",
    "this",
    "and",
    "still",
    "lamp",
    "kettle",
    "chair",
    "shop",
    "team",
]
QUESTIONS: list[Any] = [
    {"type": "choice", "name": "topic", "choices": [{"value": v} for v in WORDS]},
    {"type": "predicate", "name": "urgent", "instructions": "They are in a hurry."},
]


def call(i: int, rng: random.Random) -> Call:
    topic, urgent = rng.choice(list(WORDS)), rng.random() < 0.5
    said = [*rng.sample(FILLERS, 5), *rng.sample(WORDS[topic], 2), *(["urgent", "at once"] if urgent else [])]
    rng.shuffle(said)
    text = " ".join(said)
    chat = DECISIONS.to_chat({"model": "d1", "input": text, "questions": QUESTIONS})
    answers = [
        {"type": "choice", "name": "topic", "choice": topic, "confidence": rng.random(), "probabilities": []},
        {"type": "predicate", "name": "urgent", "probability": rng.uniform(0.5, 1) - 0.5 * (not urgent)},
    ]
    return Call(
        id=f"c{i}",
        messages=chat["messages"],
        response=DECISIONS.parse_reply({"answers": answers}).message,
        response_format=chat["response_format"],
        episode=f"e{i}",
        agent="shop",
        model="d1",
        origin=f"o{i}",
        protocol="decisions",
        finish_reason="stop",
    )


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_recorded_decisions_earn_a_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_model.installed(tmp_path / "models", tmp_path)
    monkeypatch.setenv("DEPUTIZE_MODELS", str(tmp_path / "models"))
    rng = random.Random(3)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "config.toml").write_text('[routes]\nstart = "live"\n')
    with Home(tmp_path / "home") as home:
        home.store.append([call(i, rng) for i in range(1000)])
        (task,) = convert(home, Convert(models=(tiny_model.NAME,), methods=("linear",), epsilon=0.05))[
            "tasks"
        ]
    assert task["certificate"] is not None, task["refusal_reason"]
    (route,) = read_routes(tmp_path / "home" / "routes.json").routes
    assert [(f.name, f.type, sorted(map(str, f.labels))) for f in route.contract.fields] == [
        ("topic", "label", sorted(WORDS)),
        ("urgent", "label", ["False", "True"]),
    ]
    table = RouteTable.build(read_routes(tmp_path / "home" / "routes.json"))
    assert table.match(call(5000, rng).request()).route == route
