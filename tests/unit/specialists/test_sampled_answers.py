"""Self-consistency: the vote, its confidence, and draws that follow from the prompt alone."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from tests import tiny_specialist

from deputize.core.errors import BadInput
from deputize.specialists.answer_schema import AnswerSchema, Slot
from deputize.specialists.base import RawPrediction
from deputize.specialists.confidence import RawConfidence
from deputize.specialists.decoder import MEMBER_FOLDER, DecoderPredictor, load_decoder
from deputize.specialists.sampled_answers import RandomChoice, SampledPredictor, agreed, load_self_consistency

SCHEMA = AnswerSchema(
    kind="json",
    slots=[Slot(name="order", role="value"), Slot(name="note", role="free")],
    keys=["order", "note"],
)


def written(order: str | None, note: str = "", log_p: float = -0.1) -> RawPrediction:
    answer = None if order is None else {"order": order, "note": note}
    return RawPrediction(answer, RawConfidence(log_p, 1.0, 2.0), 10, 3)


def test_most_decide_and_text_that_is_not_compared_has_no_vote() -> None:
    found = agreed(
        [written("LH-1"), written("LH-2", "a", -0.5), written(None), written("LH-2", "b", -0.7)], SCHEMA
    )
    assert found.answer == {"order": "LH-2", "note": "a"}
    assert found.raw_confidence.log_p == pytest.approx(-0.5 + math.log(2 / 4))
    assert (found.raw_confidence.min_margin, found.n_output_tokens) == (1.0, 12)


def test_of_equally_many_the_greedy_one_stands_and_where_none_answers_nothing_does() -> None:
    assert agreed([written("LH-1"), written("LH-2")], SCHEMA).answer == {"order": "LH-1", "note": ""}
    assert agreed([written(None), written(None)], SCHEMA).answer is None
    all_agree, most_agree = (agreed([written("a")] * 3 + [written(x)], SCHEMA) for x in ("a", "b"))
    assert all_agree.raw_confidence.log_p > most_agree.raw_confidence.log_p
    assert all_agree.raw_confidence.mean_margin > most_agree.raw_confidence.mean_margin


def test_draws_are_as_likely_as_the_model_says_and_the_same_for_the_same_seed() -> None:
    draw, again = RandomChoice("x"), RandomChoice("x")
    scores = [math.log(0.7) + 5, math.log(0.2) + 5, math.log(0.1) + 5]
    drawn = [draw(scores) for _ in range(4000)]
    assert drawn == [again(scores) for _ in range(4000)]
    counts = Counter(drawn)
    assert [counts[n] / 4000 for n in range(3)] == pytest.approx([0.7, 0.2, 0.1], abs=0.03)


@pytest.fixture(scope="module")
def decoder(tiny: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> DecoderPredictor:
    return load_decoder(tiny_specialist.make(tiny, tmp_path_factory.mktemp("closed"), "decoder", "closed"))


def test_samples_differ_keep_the_schema_and_the_first_is_the_greedy_answer(decoder: DecoderPredictor) -> None:
    (text,) = tiny_specialist.texts(1)
    draws = [RandomChoice(str(n)) for n in range(6)]
    found = decoder.predict_drawn(text, [None, *draws])
    assert found[0].answer == decoder.predict([text])[0].answer
    assert len({repr(p.answer) for p in found}) > 1
    for one in found:
        assert one.answer is not None and one.answer["intent"] in ("refund", "delivery", "login")


def test_values_are_drawn_too(tiny: tuple[Path, str], tmp_path: Path) -> None:
    decoder = load_decoder(tiny_specialist.make(tiny, tmp_path, "decoder", "line"))
    (text,) = tiny_specialist.texts(1, "line")
    found = decoder.predict_drawn(text, [None, *(RandomChoice(str(n)) for n in range(3))])
    greedy, *drawn = [p.raw_confidence for p in found]
    assert len(set(drawn)) == 3 and all(one.log_p != greedy.log_p for one in drawn)
    assert greedy.min_margin >= 0 and min(one.min_margin for one in drawn) < 0, "another token was likelier"


def test_the_same_request_gets_the_same_answer_in_any_company(decoder: DecoderPredictor) -> None:
    sampled = SampledPredictor(decoder, 3)
    texts = tiny_specialist.texts(3)
    together = sampled.predict(texts)
    assert together == [sampled.predict([text])[0] for text in texts]
    assert sampled.engine.endswith(", 3 samples")
    assert sampled.without_free_slots().n_samples == 3


def test_what_holds_no_decoder_is_refused(tiny: tuple[Path, str], tmp_path: Path) -> None:
    tiny_specialist.make(tiny, tmp_path / MEMBER_FOLDER, "head")
    stored = tiny_specialist.settings_at(tmp_path / MEMBER_FOLDER)
    with pytest.raises(BadInput, match="holds no decoder but a specialist of the kind head"):
        load_self_consistency(replace(stored, folder=tmp_path))
