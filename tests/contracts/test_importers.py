"""One suite over every importer, ours and a user's."""

from __future__ import annotations

from typing import Any

import pytest
from tests.contracts.importer_samples import SAMPLES

from deputize.core.records import Call
from deputize.stages.collect.importers.registry import BUILT_IN, importers_for
from deputize.testing import check_importer
from deputize.testing.check_importer import Sample

GENERAL = ("openai", "calls", "conversations")
"""Asked last: they read whatever looks like a call, the samples of platforms too."""
REFUSING = ("no-calls",)
USERS: dict[str, list[Sample]] = {
    "tests.a_users_importer:QuestionImporter": [
        (
            {"question": "why?", "answer": "because"},
            Call(
                id="",
                messages=[{"role": "user", "content": "why?"}],
                response={"role": "assistant", "content": "because"},
            ),
        ),
        (
            {"question": "who?", "answer": "I", "asker": "ann"},
            Call(
                id="",
                messages=[{"role": "user", "content": "who?"}],
                response={"role": "assistant", "content": "I"},
                origin="pseudonym-3",
            ),
        ),
    ],
}
ALL = {**SAMPLES, **USERS}


def others(name: str) -> list[dict[str, Any]]:
    formats = [*GENERAL, *USERS] if name in GENERAL else list(ALL)
    return [
        row
        for other in formats
        if other != name
        for rows, _ in ALL[other]
        for row in ([rows] if isinstance(rows, dict) else rows)
    ]


@pytest.mark.parametrize("name", ALL)
def test_every_importer_keeps_the_contract(name: str) -> None:
    (importer,) = importers_for(name)
    check_importer(importer, ALL[name], others=others(name))


def test_every_importer_of_ours_is_checked() -> None:
    assert {importer.name for importer in BUILT_IN} == {*SAMPLES, *REFUSING}


@pytest.mark.parametrize("name", SAMPLES)
def test_every_sample_is_recognised_among_all_formats(name: str) -> None:
    for rows, _ in SAMPLES[name]:
        for row in [rows] if isinstance(rows, dict) else rows:
            found = next(importer for importer in BUILT_IN if importer.sniff(row))
            assert found.name == name
            marks = getattr(found, "marks", None)
            assert marks is None or not marks.isdisjoint(row), "an object has one of the marks of its format"
