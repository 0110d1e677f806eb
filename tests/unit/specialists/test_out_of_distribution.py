"""The detector lets the like pass, stops the strange, and is none where it could stop nothing."""

from __future__ import annotations

import random

import numpy as np
import pytest

from deputize.core.errors import Tampered
from deputize.core.subjects import Subjects
from deputize.specialists.hashed_features import counts_of, vectors_of_counts
from deputize.specialists.out_of_distribution import MIN_GROUPS, OutOfDistributionDetector, masked

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


def test_many_texts_are_compared_as_few_are(
    detector: OutOfDistributionDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = letters(50, seed=3)
    few = detector.p_values(asked)
    monkeypatch.setattr("deputize.specialists.out_of_distribution._MANY", 1)
    assert detector.p_values(asked) == few


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


def test_long_texts_are_kept_in_part_and_one_of_each_group_first(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = letters(600)
    groups = [str(min(i, 149)) for i in range(600)]  # one group has three quarters of them
    monkeypatch.setattr("deputize.specialists.out_of_distribution.MAX_CHARS", sum(map(len, texts)) // 3)
    detector = fitted(texts, groups)
    assert detector is not None and len(detector.starts_G) == 150
    assert 150 < detector.by_bucket_FN.shape[1] < 220
    monkeypatch.setattr("deputize.specialists.out_of_distribution.MAX_CHARS", 1_000)
    assert fitted(texts, groups) is None, "too few are left to compare with"


def test_a_text_is_near_to_other_groups_only() -> None:
    """Calls of an episode contain each other: near to its own proves nothing of a call of another episode."""
    numbers = random.Random(6).sample(range(1000, 10_000), 600)
    texts = [f"{text} order {n} of {n}" for text, n in zip(letters(600, seed=4), numbers, strict=True)]
    seen, new = [text for text in texts[:300] for _ in range(2)], texts[300:]
    detector = fitted(seen, [str(i // 2) for i in range(600)])
    assert detector is not None and flagged(detector, new) <= 0.1
    alone = fitted(seen)
    assert alone is not None and flagged(alone, new) >= 0.5, "as if each call were an episode of its own"


def test_values_count_for_nothing() -> None:
    """Train holds surrogates of addresses and numbers; those of live requests are raw, and are as good."""
    surrogates = [
        f"{t}. write to {t[10:13]}.smith@example.com, order LH-{i}" for i, t in enumerate(letters(300))
    ]
    detector = fitted(surrogates)
    assert detector is not None
    raw = [f"{t}. write to li.w@uni-jena.de, order XQ/7-{i}" for i, t in enumerate(letters(200, seed=8))]
    assert flagged(detector, raw) <= 0.08
    assert masked("see https://a.b/c or mail a@b.de, +49 30 12") == "see ⟨⟩ or mail ⟨⟩ ⟨⟩ ⟨⟩ ⟨⟩"


def test_what_one_subject_alone_has_is_not_kept() -> None:
    texts = [*letters(200), "hello, zanzibar zanzibar zanzibar"]
    detector = fitted(texts)
    assert detector is not None
    kept = set(detector.arrays()["buckets"].tolist())
    lonely, common = (set(counts_of([word]).indices.tolist()) for word in ("zanzibar", "hello"))
    assert not lonely & kept and common & kept


def test_a_stored_detector_decides_as_before(detector: OutOfDistributionDetector) -> None:
    again = OutOfDistributionDetector.of_arrays(detector.arrays())
    texts = [*letters(50, seed=3), "something else", ""]
    assert np.allclose(detector.p_values(texts), again.p_values(texts), atol=0.02)
    assert again.p_values([]) == []
    forged = {**detector.arrays(), "shape": np.array([4_000_000_000, 2])}
    with pytest.raises(Tampered, match="4000000000"):
        OutOfDistributionDetector.of_arrays(forged)


def test_the_distance_is_the_part_of_a_text_that_the_nearest_has_not() -> None:
    """As by whole matrices: squares of unit rows, summed where the other text has the n-gram."""
    texts, asked = letters(150), [*letters(10, seed=9), "my zebra is broken", ""]
    detector = fitted(texts, least=1)
    assert detector is not None
    squares_QF = vectors_of_counts(counts_of(asked), detector.idf_F).power(2)
    distances = 1 - (squares_QF @ detector.by_bucket_FN).toarray().max(axis=1)
    n = len(detector.distances_R)
    wanted = (1 + n - np.searchsorted(detector.distances_R, distances - 1e-3)) / (n + 1)
    assert detector.p_values(asked) == pytest.approx(wanted.tolist(), abs=1.5 / n)
