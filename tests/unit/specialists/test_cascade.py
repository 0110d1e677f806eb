"""A cascade: members decide as soon as they are sure, more of them speak elsewhere, and early answers are those of
the whole."""

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
    CascadeStep,
    default_settings,
    load_cascade,
    load_first,
    member_folder,
    never_sure,
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


def steps(*exits: float, weights: Sequence[float] = (0.5, 0.5, 1.0)) -> CascadeSettings:
    """Settings of one member more than there are exits, given as probabilities."""
    settings = [
        CascadeStep(weights=[*weights[:n], 1.0], exit_log_p=float(np.log(p))) for n, p in enumerate(exits)
    ]
    return CascadeSettings(steps=[*settings, CascadeStep(weights=[*weights[: len(exits)], 1.0])])


def test_scores_are_pooled_by_weight_and_stay_probabilities() -> None:
    one, two = Member("a").scores(["a=.9 b=.2"]), Member("b", 7).scores(["a=.9 b=.2"])
    found = pooled([one, two], [0.5, 1.0])
    odds = 0.9**0.5 * 0.2 / (0.1**0.5 * 0.8)
    assert np.exp(found.log_ps[0])[0, YES] == pytest.approx(odds / (1 + odds), abs=1e-5)
    assert found.n_prompt_tokens == [7]
    assert np.allclose(pooled([one], [1.0]).log_ps[0], one.log_ps[0], atol=1e-6)


def test_the_second_is_asked_only_where_the_first_is_not_sure() -> None:
    first, second = Member("a"), Member("b", 7)
    made = CascadePredictor([first, second], steps(0.95))
    texts = ["a=.99 b=.01", "a=.9 b=.01", "a=.02 b=.5", "a=.6 b=.99"]
    found = made.predict(texts)
    assert [p.answer for p in found] == ["yes", "no", "no", "yes"]
    assert [p.n_prompt_tokens for p in found] == [0, 7, 0, 7]
    assert second.asked == [texts[1], texts[3]]
    disagreed, agreed = found[1].raw_confidence, found[3].raw_confidence
    assert disagreed.log_p < agreed.log_p, "where members differ there is little confidence"
    assert made.predict([]) == made.early([]) == []


def test_a_third_is_asked_only_where_the_first_two_together_are_not_sure() -> None:
    members = [Member("a"), Member("b", 7), Member("c", 9)]
    made = CascadePredictor(members, steps(0.95, 0.9))
    texts = ["a=.99 b=.01 c=.01", "a=.9 b=.95 c=.01", "a=.9 b=.2 c=.01", "a=.4 b=.6 c=.97"]
    found = made.predict(texts)
    assert [p.answer for p in found] == ["yes", "yes", "no", "yes"]
    assert [p.n_prompt_tokens for p in found] == [0, 7, 9, 9]
    assert [member.asked for member in members] == [texts, texts[1:], texts[2:]]
    last = pooled([Member(name).scores(texts[2:]) for name in "abc"], made.settings.steps[2].weights)
    assert [p.raw_confidence.log_p for p in found[2:]] == [float(row.max()) for row in last.log_ps[0]]
    for at, text in enumerate(texts):
        assert made.predict([text]) == [found[at]], "alone as in a batch"


def test_early_answers_are_those_of_the_whole() -> None:
    settings = steps(0.9, 0.8)
    texts = [f"a={p:.2f} b=.5 c=.6" for p in np.linspace(0.01, 0.99, 23)]
    whole = CascadePredictor([Member("a"), Member("b"), Member("c")], settings).predict(texts)
    early = CascadePredictor([Member("a")], settings).early(texts)
    assert 0 < sum(one is None for one in early) < len(texts)
    assert all(one is None or one == two for one, two in zip(early, whole, strict=True))


def test_a_tie_of_the_exit_is_decided_alone_and_never_sure_is_never() -> None:
    exit_log_p = float(pooled([Member("a").scores(["a=.9"])], [1.0]).log_ps[0][0, YES])
    tie = CascadeSettings(
        steps=[CascadeStep(weights=[1.0], exit_log_p=exit_log_p), CascadeStep(weights=[0.5, 1.0])]
    )
    assert CascadePredictor([Member("a")], tie).early(["a=.9"]) != [None]
    assert CascadePredictor([Member("a")], default_settings(2)).early(["a=.999"]) == [None]
    never = never_sure(
        CascadeSettings(steps=[CascadeStep(weights=[0.3], exit_log_p=-9.0), CascadeStep(weights=[0.5, 1.0])])
    )
    assert never.steps[0].weights == [0.3]
    assert CascadePredictor([Member("a")], never).early(["a=.999"]) == [None]


def test_its_engine_names_every_member_that_may_answer_otherwise_elsewhere() -> None:
    class OnEngine(Member):
        def __init__(self, engine: str, depends_on_batch: bool) -> None:
            super().__init__("b")
            self.engine, self.depends_on_batch = engine, depends_on_batch

    encoder, model = OnEngine("fp32", False), OnEngine("bf16", True)
    assert CascadePredictor([Member("a"), encoder], default_settings(2)).engine == "fp32"
    three = CascadePredictor([Member("a"), model, encoder], default_settings(3))
    assert three.engine == "bf16 and fp32" and three.depends_on_batch
    assert CascadePredictor([Member("a"), Member("b")], default_settings(2)).engine == "local"


def test_members_are_loaded_by_their_kind_and_released(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    members = {"one": Member("a"), "two": Member("b"), "three": Member("c")}
    for place, name in enumerate(members):
        (tmp_path / member_folder(place)).mkdir()
        (tmp_path / member_folder(place) / CARD).write_bytes(msgspec.json.encode(card(kind=name)))
    settings = tmp_path / cascade.SETTINGS_FILE
    settings.write_bytes(msgspec.json.encode(steps(0.7, 0.8)))
    monkeypatch.setattr(cascade, "loader_of", lambda kind: lambda stored: members[kind])
    stored = StoredSpecialist(tmp_path, card(), settings_of(card()), tmp_path)
    made = load_cascade(stored)
    assert made.members == list(members.values()) and made.settings == steps(0.7, 0.8)
    assert load_first(stored).members == [members["one"]] and not made.depends_on_batch
    made.release()
    assert [member.released for member in members.values()] == [1, 1, 1]
    monkeypatch.setattr(cascade, "loader_of", lambda kind: lambda stored: object())
    with pytest.raises(BadInput, match="cannot be a member of a cascade"):
        load_cascade(stored)
    settings.write_bytes(msgspec.json.encode(CascadeSettings(steps=[CascadeStep(weights=[0.5, 1.0])])))
    with pytest.raises(BadInput, match="one weight for each member"):
        load_cascade(stored)
    settings.unlink()
    with pytest.raises(BadInput, match=r"cascade\.json cannot be read"):
        load_cascade(stored)
