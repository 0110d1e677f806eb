"""A specialist predicts with calibrated confidences; requests unlike those trained on get none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest
from tests import tiny_tasks
from tests.unit.specialists.test_specialist_card import card

from deputize.core.errors import Tampered
from deputize.core.records import Request
from deputize.core.subjects import Subjects
from deputize.specialists.base import RawPrediction, without_free_text
from deputize.specialists.catalogue import sha256_of
from deputize.specialists.confidence import RawConfidence
from deputize.specialists.out_of_distribution import OutOfDistributionDetector
from deputize.specialists.predictor import SpecialistPredictor, load, unload
from deputize.specialists.registry import StoredSpecialist
from deputize.specialists.specialist_card import settings_of, write_card

TRAIN = [f"parcel LH-{i} has not arrived, please {v} it" for i in range(120) for v in ("send", "refund")]


class Echo:
    """Answers with the text, surely; nothing for the empty one."""

    released = 0

    def predict(self, texts: Sequence[str]) -> list[RawPrediction]:
        return [RawPrediction(t or None, RawConfidence(-0.1, 1.0, 1.0), 3, 2) for t in texts]

    def release(self) -> None:
        self.released += 1


class Writer(Echo):
    def without_free_slots(self) -> Echo:
        return Echo()


def request(text: str) -> Request:
    return Request(messages=[{"role": "user", "content": text}])


def specialist(inner: Echo) -> SpecialistPredictor:
    groups = [str(i // 2) for i in range(len(TRAIN))]
    detector = OutOfDistributionDetector.fit(TRAIN, groups, Subjects(groups, 2), seed=0)
    made = card(task=msgspec.structs.replace(tiny_tasks.task("line"), recipe=tiny_tasks.task("line").recipe))
    return SpecialistPredictor(
        made, inner, msgspec.structs.replace(settings_of(made), out_of_distribution_p=0.02), detector
    )


def test_confidence_is_zero_without_an_answer_and_out_of_distribution() -> None:
    known, strange, empty = specialist(Echo()).predict(
        [
            request("parcel LH-17 has not arrived, please send it"),
            request("SELECT * FROM users;"),
            request(""),
        ]
    )
    assert known.confidence > 0.85 and "LH-17" in str(known.answer)
    assert strange.answer is not None and strange.confidence == 0.0
    assert strange.out_of_distribution and not known.out_of_distribution
    assert empty.confidence == 0.0
    assert (known.n_prompt_tokens, known.n_output_tokens) == (3, 2) and known.latency_ms >= 0
    assert specialist(Echo()).predict([]) == []


class Uncounted(Echo):
    """A predictor without a tokenizer."""

    def predict(self, texts: Sequence[str]) -> list[RawPrediction]:
        return [p._replace(n_prompt_tokens=0, n_output_tokens=0) for p in super().predict(texts)]


def test_tokens_are_counted_as_words_where_there_is_no_tokenizer() -> None:
    (found,) = specialist(Uncounted()).predict([request("parcel LH-17 has not arrived, please send it")])
    assert found.n_prompt_tokens == 11 and found.n_output_tokens > 0


def test_free_text_is_left_out_where_the_text_predictor_can() -> None:
    plain, writer = specialist(Echo()), specialist(Writer())
    assert without_free_text(plain) is plain
    shorter = without_free_text(writer)
    assert isinstance(shorter, SpecialistPredictor) and type(shorter.text_predictor) is Echo
    assert shorter.ood_detector is writer.ood_detector


def test_unloading_releases_what_is_held(tmp_path: Path) -> None:
    inner = Echo()
    unload(specialist(inner))
    assert inner.released == 1


class Rounded(Echo):
    """In low precision: what it is sure of depends on the size of the batch."""

    def __init__(self, depends_on_batch: bool) -> None:
        self.depends_on_batch = depends_on_batch

    def predict(self, texts: Sequence[str]) -> list[RawPrediction]:
        return [RawPrediction(t, RawConfidence(-0.1 * len(texts), 1.0, 1.0)) for t in texts]


def test_an_answer_in_low_precision_does_not_depend_on_its_batch() -> None:
    """What calibration reads in batches is what a live call gets, alone or not."""
    requests = [request(f"parcel LH-{i} has not arrived, please send it") for i in range(5)]
    for depends, same in ((True, True), (False, False)):
        one = specialist(Rounded(depends))
        together = [p.confidence for p in one.predict(requests)]
        assert (together == [one.predict([r])[0].confidence for r in requests]) is same


def test_a_file_that_is_another_one_when_it_is_checked_than_when_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = tmp_path / "weights"
    weights.write_bytes(b"genuine")
    write_card(tmp_path, card(checksums={"weights": sha256_of(weights)}))
    swaps = [False]

    def loader(stored: StoredSpecialist) -> Echo:
        if swaps[0]:
            weights.write_bytes(b"forged!")
            weights.write_bytes(b"genuine")
        return Echo()

    monkeypatch.setattr("deputize.specialists.predictor.loader_of", lambda kind: loader)
    assert isinstance(load(tmp_path, tmp_path), SpecialistPredictor)
    swaps[0] = True
    with pytest.raises(Tampered, match="while it was loaded"):
        load(tmp_path, tmp_path)
