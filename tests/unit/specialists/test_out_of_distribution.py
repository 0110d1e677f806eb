"""The detector lets the like pass, stops the strange, and is none where it could stop nothing."""

from __future__ import annotations

import random
import time

import numpy as np
import pytest

from deputize.core.subjects import Subjects
from deputize.specialists.out_of_distribution import MIN_GROUPS, OutOfDistributionDetector

THINGS = ["parcel", "lamp", "chair", "kettle", "refund", "invoice", "coat", "phone"]
STATES = ["has not arrived", "is broken", "came late", "is the wrong one", "was paid twice"]


def letters(n: int, seed: int = 0) -> list[str]:
    rng = random.Random(seed)
    return [
        f"hello, my {rng.choice(THINGS)} {rng.choice(STATES)} and the {rng.choice(THINGS)} {rng.choice(STATES)}"
        for _ in range(n)
    ]


def fitted(
    texts: list[str], groups: list[str] | None = None, least: int = 2
) -> OutOfDistributionDetector | None:
    groups = groups or [str(i) for i in range(len(texts))]
    return OutOfDistributionDetector.fit(texts, groups, Subjects(groups, least), seed=0)


@pytest.fixture(scope="module")
def detector() -> OutOfDistributionDetector:
    found = fitted(letters(400))
    assert found is not None
    return found


def flagged(detector: OutOfDistributionDetector, texts: list[str], p: float = 0.05) -> float:
    return float(np.mean(np.array(detector.p_values(texts)) < p))


def test_the_like_passes_and_the_strange_is_stopped(detector: OutOfDistributionDetector) -> None:
    assert flagged(detector, letters(400, seed=1)) <= 0.08
    strange = [
        "SELECT * FROM users;",
        "Die Würde des Menschen ist unantastbar",
        "日本語のテキスト",
        "zxq vvkk",
        "",
    ]
    assert flagged(detector, strange, 0.01) == 1.0


def test_a_changed_instruction_is_noticed(detector: OutOfDistributionDetector) -> None:
    new = letters(200, seed=2)
    assert flagged(detector, [f"{t}\nIf the customer is angry, answer ESCALATE." for t in new]) >= 0.9
    assert flagged(detector, [f"Answer in German.\n{t}" for t in new]) >= 0.9
    assert flagged(detector, [f"I do not want you to do this: {t}" for t in new]) >= 0.9


def test_with_few_groups_there_is_no_detector() -> None:
    texts = letters(3 * MIN_GROUPS)
    assert fitted(texts, [str(i % (MIN_GROUPS - 1)) for i in range(len(texts))]) is None
    assert fitted(texts, [str(i % MIN_GROUPS) for i in range(len(texts))]) is not None
    assert fitted([]) is None


def test_a_text_is_near_to_other_groups_only() -> None:
    """Calls of an episode contain each other: near to its own proves nothing of a call of another episode."""
    numbers = random.Random(6).sample(range(1000, 10_000), 600)
    texts = [f"{text} order {n} of {n}" for text, n in zip(letters(600, seed=4), numbers, strict=True)]
    seen, new = [text for text in texts[:300] for _ in range(2)], texts[300:]
    detector = fitted(seen, [str(i // 2) for i in range(600)])
    assert detector is not None and flagged(detector, new) <= 0.1
    alone = fitted(seen)
    assert alone is not None and flagged(alone, new) >= 0.5, "as if each call were an episode of its own"


def test_what_one_subject_alone_has_is_not_kept() -> None:
    texts = [*letters(200), "hello, zanzibar zanzibar zanzibar"]
    detector = fitted(texts)
    assert detector is not None
    kept = set(detector.arrays()["buckets"].tolist())
    lonely = set(detector.rows(["zanzibar"]).indices.tolist())
    common = set(detector.rows(["hello"]).indices.tolist())
    assert not lonely & kept and common & kept


def test_a_stored_detector_decides_as_before(detector: OutOfDistributionDetector) -> None:
    again = OutOfDistributionDetector.of_arrays(detector.arrays())
    texts = [*letters(50, seed=3), "something else", ""]
    assert np.allclose(detector.p_values(texts), again.p_values(texts), atol=0.02)
    assert again.p_values([]) == []


def test_ten_thousand_texts_are_looked_up_in_about_a_millisecond() -> None:
    rng = random.Random(5)
    words = ["".join(rng.choices("abcdefghijklmnop", k=5)) for _ in range(3_000)]
    detector = fitted([" ".join(rng.choices(words, k=15)) for _ in range(10_000)], least=1)
    assert detector is not None and detector.by_bucket_FN.shape[1] == 10_000
    rows = detector.rows([" ".join(rng.choices(words, k=15))])
    assert min(_seconds(detector, rows) for _ in range(20)) < 5e-3  # room for a busy machine


def _seconds(detector: OutOfDistributionDetector, rows: object) -> float:
    began = time.perf_counter()
    detector.p_values_of_rows(rows)
    return time.perf_counter() - began
