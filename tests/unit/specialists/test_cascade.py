"""A cascade: the first decides alone where it is sure, both speak elsewhere, and early answers are those of the whole."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest
from tests import tiny_tasks
from tests.unit.specialists.test_specialist_card import card

from deputize.core.errors import BadInput
from deputize.specialists import cascade
from deputize.specialists.base import ClosedScores, RawPrediction, choose_each
from deputize.specialists.cascade import (
    CascadePredictor,
    CascadeSettings,
    load_cascade,
    load_first,
    never_alone,
    pooled,
)
from deputize.specialists.closed_answers import ClosedAnswers, closed
from deputize.specialists.learn_schema import learn_schema
from deputize.specialists.registry import StoredSpecialist
from deputize.specialists.specialist_card import CARD, settings_of

LABEL = closed(learn_schema(tiny_tasks.CONTRACTS["label"], ["yes", "no"]))
assert LABEL is not None
YES = LABEL.questions[0].choices.index("yes")


class Member:
    """Says yes with the probability that stands in the text for it."""

    def __init__(self, name: str, tokens: int = 0) -> None:
        assert LABEL is not None
        self.answers: ClosedAnswers = LABEL
        self.name, self.tokens, self.asked, self.released = name, tokens, list[str](), 0

    def scores(self, texts: Sequence[str]) -> ClosedScores:
        self.asked += texts
        p_N = np.array([float(dict(part.split("=") for part in text.split())[self.name]) for text in texts])
        p_NC = np.stack([1 - p_N, p_N] if YES else [p_N, 1 - p_N], axis=1)
        return ClosedScores([np.log(p_NC).astype(np.float32)], [self.tokens] * len(texts))

    def predict(self, texts: Sequence[str]) -> list[RawPrediction]:
        return choose_each(self.answers, self.scores(texts))

    def release(self) -> None:
        self.released += 1


def test_scores_are_pooled_by_weight_and_stay_probabilities() -> None:
    one, two = Member("a").scores(["a=.9 b=.2"]), Member("b", 7).scores(["a=.9 b=.2"])
    found = pooled((one, 0.5), (two, 1.0))
    odds = 0.9**0.5 * 0.2 / (0.1**0.5 * 0.8)
    assert np.exp(found.log_ps[0])[0, YES] == pytest.approx(odds / (1 + odds), abs=1e-5)
    assert found.n_prompt_tokens == [7]
    assert np.allclose(pooled((one, 1.0)).log_ps[0], one.log_ps[0], atol=1e-6)


def test_the_second_is_asked_only_where_the_first_is_not_sure() -> None:
    first, second = Member("a"), Member("b", 7)
    made = CascadePredictor(first, second, CascadeSettings(exit_log_p=float(np.log(0.95))))
    texts = ["a=.99 b=.01", "a=.9 b=.01", "a=.02 b=.5", "a=.6 b=.99"]
    found = made.predict(texts)
    assert [p.answer for p in found] == ["yes", "no", "no", "yes"]
    assert [p.n_prompt_tokens for p in found] == [0, 7, 0, 7]
    assert second.asked == [texts[1], texts[3]]
    disagreed, agreed = found[1].raw_confidence, found[3].raw_confidence
    assert disagreed.log_p < agreed.log_p, "where members differ there is little confidence"
    assert made.predict([]) == made.early([]) == []


def test_early_answers_are_those_of_the_whole() -> None:
    settings = CascadeSettings(alone=0.8, exit_log_p=float(np.log(0.9)))
    texts = [f"a={p:.2f} b=.5" for p in np.linspace(0.01, 0.99, 23)]
    whole = CascadePredictor(Member("a"), Member("b"), settings).predict(texts)
    early = CascadePredictor(Member("a"), None, settings).early(texts)
    assert 0 < sum(one is None for one in early) < len(texts)
    assert all(one is None or one == two for one, two in zip(early, whole, strict=True))


def test_a_tie_of_the_exit_is_decided_alone_and_never_alone_is_never() -> None:
    exit_log_p = float(pooled((Member("a").scores(["a=.9"]), 1.0)).log_ps[0][0, YES])
    assert CascadePredictor(Member("a"), None, CascadeSettings(exit_log_p=exit_log_p)).early(["a=.9"]) != [
        None
    ]
    assert CascadePredictor(Member("a"), None, CascadeSettings()).early(["a=.999"]) == [None]
    never = never_alone(CascadeSettings(first=0.3, exit_log_p=-9.0))
    assert never.first == 0.3 and CascadePredictor(Member("a"), None, never).early(["a=.999"]) == [None]


def test_members_are_loaded_by_their_kind_and_released(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (cascade.FIRST_FOLDER, cascade.SECOND_FOLDER):
        (tmp_path / name).mkdir()
        (tmp_path / name / CARD).write_bytes(msgspec.json.encode(card(kind=name)))
    (tmp_path / cascade.SETTINGS_FILE).write_bytes(msgspec.json.encode(CascadeSettings(alone=0.7)))
    members = {"first": Member("a"), "second": Member("b")}
    monkeypatch.setattr(cascade, "loader_of", lambda kind: lambda stored: members[kind])
    stored = StoredSpecialist(tmp_path, card(), settings_of(card()), tmp_path)
    made = load_cascade(stored)
    assert (made.first, made.second, made.settings.alone) == (members["first"], members["second"], 0.7)
    assert load_first(stored).second is None and not made.depends_on_batch
    made.release()
    assert members["second"].released == 1
    monkeypatch.setattr(cascade, "loader_of", lambda kind: lambda stored: object())
    with pytest.raises(BadInput, match="cannot be a member of a cascade"):
        load_cascade(stored)
    (tmp_path / cascade.SETTINGS_FILE).unlink()
    with pytest.raises(BadInput, match=r"cascade\.json cannot be read"):
        monkeypatch.setattr(cascade, "loader_of", lambda kind: lambda stored: members[kind])
        load_cascade(stored)
