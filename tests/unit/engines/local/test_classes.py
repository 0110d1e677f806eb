"""The linear rung's reader: weights on disk without a vocabulary."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tests import tiny_tasks

from deputize.core.contracts import answer_of
from deputize.engines.local.classes import ClassesReader, LinearModel
from deputize.engines.local.forms import Closed, closed, learn_form
from deputize.stages.finetune.data import Lesson
from deputize.stages.finetune.linear import fit_linear


def trained(kind: str, n: int = 120) -> tuple[LinearModel, Closed, list[Lesson]]:
    contract = tiny_tasks.CONTRACTS[kind]
    examples = [tiny_tasks.example(kind, i, "train") for i in range(n)]
    lessons = [
        Lesson(e.call_id, e.request.messages[1]["content"], answer_of(e.response, contract), 1.0)
        for e in examples
    ]
    form = closed(learn_form(contract, [x.answer for x in lessons]), partly=True)
    assert form is not None
    return fit_linear(lessons, form), form, lessons


def test_it_learns_every_question_of_a_closed_form() -> None:
    model, form, _ = trained("closed")
    fresh = [tiny_tasks.example("closed", i, "test") for i in range(1000, 1060)]
    readings = ClassesReader(model, form).read([e.request.messages[1]["content"] for e in fresh])
    truth = [answer_of(e.response, tiny_tasks.CONTRACTS["closed"]) for e in fresh]
    assert np.mean([r.answer == t for r, t in zip(readings, truth, strict=True)]) > 0.9
    assert all(r.sureness.log_p <= 0 for r in readings)


def test_it_reads_the_same_after_storage(tmp_path: Path) -> None:
    model, _, lessons = trained("label")
    model.save(tmp_path / "linear.npz")
    again = LinearModel.load(tmp_path / "linear.npz")
    texts = [x.text for x in lessons[:20]] + ["words never seen before"]
    for a, b in zip(model.log_p(texts), again.log_p(texts), strict=True):
        assert np.allclose(a, b, atol=0.05)
    assert (tmp_path / "linear.npz").stat().st_size < 2_000_000


def test_no_word_of_the_traffic_lies_on_disk(tmp_path: Path) -> None:
    model, _, _ = trained("label")
    model.save(tmp_path / "linear.npz")
    data = (tmp_path / "linear.npz").read_bytes()
    assert b"parcel" not in data and b"example.org" not in data


def test_two_classes_are_the_right_way_round() -> None:
    model, form, _ = trained("label")
    (reading,) = ClassesReader(model, form).read(["money back please for LH-11111, urgent\nmail: none"])
    assert reading.answer == "yes"
    assert ClassesReader(model, form).read([]) == []


def test_an_action_with_open_arguments_is_recognised_but_not_answered() -> None:
    model, form, _ = trained("action", 200)
    texts = ["money back please for LH-11111\nmail: none", "cannot log in for LH-2\nmail: none"]
    refund, login = ClassesReader(model, form).read(texts)
    assert refund.answer is None
    assert login.answer == [{"name": "list_orders", "arguments": {}}]
