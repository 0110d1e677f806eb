"""The process that looks for personal data: what it answers, and what it leaves out."""

from __future__ import annotations

import io

import msgspec
import pytest

from deputize.core.config import Privacy
from deputize.core.errors import BadInput
from deputize.privacy.detectors.base import Span
from deputize.privacy.entity_types import UNMEASURED
from deputize.privacy.masking import detector_worker
from deputize.privacy.masking.detector_worker import LineDetector, WorkerSettings, WorkerStart, write_message
from deputize.privacy.replace.replacement_policy import policy_of
from deputize.privacy.standard_detectors import DetectorSet

POLICY = policy_of("standard")


class Words:
    name = "words"

    def detect(self, texts: list[str]) -> list[list[Span]]:
        kinds = {"Anna": "PERSON", "Paris": "LOCATION", "Odd": UNMEASURED, "Desk": "PERSON"}
        return [
            [
                Span(kind, text.index(w), text.index(w) + len(w), 0.9, "w")
                for w, kind in kinds.items()
                if w in text
            ]
            for text in texts
        ]


def words(*_: object, **__: object) -> DetectorSet:
    return DetectorSet([Words()], confirmed=["desk"], warnings=["careful"])  # type: ignore[list-item]


def test_only_what_is_masked_is_told_and_the_verification_pass_counts() -> None:
    found = LineDetector(words(), POLICY).detect(
        [("Anna in Paris, Odd Desk", True), ("bob@example.com", True)]
    )
    assert [[(f.type, f.value) for f in line] for line in found] == [
        [("PERSON", "Anna")],
        [("EMAIL_ADDRESS", "bob@example.com")],
    ]


def answers(*messages: object) -> list[bytes]:
    source, target = io.BytesIO(), io.BytesIO()
    for message in messages:
        write_message(source, message)
    source.seek(0)
    detector_worker.main(source, target)
    target.seek(0)
    out = []
    while (message := detector_worker.read_message(target)) is not None:
        out.append(message)
    return out


SETTINGS = WorkerSettings(home="none", privacy=Privacy().model_dump_json().encode())


def test_it_answers_until_its_input_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(detector_worker, "standard_detectors", words)
    first, second = answers(SETTINGS, [("Anna", True)])
    assert msgspec.msgpack.decode(first, type=WorkerStart).warnings == ["careful"]
    assert msgspec.msgpack.decode(second) == [[["PERSON", "Anna", 0.9]]]
    assert answers() == []


def test_it_says_why_it_cannot_work(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> DetectorSet:
        raise BadInput("no such detector")

    monkeypatch.setattr(detector_worker, "standard_detectors", refuse)
    (only,) = answers(SETTINGS)
    assert msgspec.msgpack.decode(only, type=WorkerStart).error == "no such detector"
