"""A choice per question as one answer, and predictors with and without text that is not compared."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from tests import tiny_tasks

from deputize.core.records import Prediction, Request
from deputize.specialists.base import Predictor, choose, without_free_text
from deputize.specialists.closed_answers import ClosedAnswers, closed
from deputize.specialists.learn_schema import learn_schema


def answers() -> ClosedAnswers:
    given = [{"intent": i, "urgent": u, "source": "mail"} for i in ("refund", "login") for u in (False, True)]
    found = closed(learn_schema(tiny_tasks.CONTRACTS["closed"], given))
    assert found is not None
    return found


def test_the_likeliest_choice_of_each_question_makes_the_answer() -> None:
    log_ps = [np.log(np.array(p, np.float32)) for p in ([0.2, 0.7, 0.1], [0.9, 0.1])]
    found = choose(answers(), log_ps, 17)
    assert found.answer == {"intent": "delivery", "urgent": False, "source": "mail"}
    assert found.raw_confidence.log_p == pytest.approx(np.log(0.7 * 0.9), abs=1e-5)
    assert found.raw_confidence.min_margin == pytest.approx(np.log(0.7 / 0.2), abs=1e-5)
    assert found.n_prompt_tokens == 17


class Plain:
    def predict(self, requests: Sequence[Request]) -> list[Prediction]:
        return [Prediction(answer="a", confidence=1.0) for _ in requests]


class Chatty(Plain):
    def without_free_text(self) -> Predictor:
        return Plain()


def test_free_text_is_left_out_where_a_predictor_writes_any() -> None:
    plain, chatty = Plain(), Chatty()
    assert without_free_text(plain) is plain
    assert type(without_free_text(chatty)) is Plain
