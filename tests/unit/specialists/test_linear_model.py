"""Linear models: what they learn, and weights on disk without a vocabulary."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests import tiny_tasks

from deputize.core.contracts import answer_of
from deputize.core.errors import Tampered
from deputize.core.records import Contract
from deputize.core.subjects import Subjects
from deputize.specialists.closed_answers import ClosedAnswers, closed
from deputize.specialists.learn_schema import learn_schema
from deputize.specialists.linear_model import (
    LARGE,
    LinearModel,
    LinearPredictor,
    LinearSettings,
    fit_linear,
)
from deputize.stages.finetune.examples import TrainingExample


def trained(kind: str, n: int = 120) -> tuple[LinearModel, ClosedAnswers, list[TrainingExample]]:
    contract = tiny_tasks.CONTRACTS[kind]
    calls = [tiny_tasks.example(kind, i, "train") for i in range(n)]
    examples = [
        TrainingExample(e.call_id, e.request.messages[1]["content"], answer_of(e.response, contract), 1.0)
        for e in calls
    ]
    schema = closed(learn_schema(contract, [x.answer for x in examples]), partly=True)
    assert schema is not None
    return fit_linear([x.text for x in examples], [x.answer for x in examples], schema), schema, examples


def test_it_learns_every_question_of_a_closed_form() -> None:
    model, schema, _ = trained("closed")
    fresh = [tiny_tasks.example("closed", i, "test") for i in range(1000, 1060)]
    predictions = LinearPredictor(model, schema).predict([e.request.messages[1]["content"] for e in fresh])
    truth = [answer_of(e.response, tiny_tasks.CONTRACTS["closed"]) for e in fresh]
    assert np.mean([r.answer == t for r, t in zip(predictions, truth, strict=True)]) > 0.9
    assert all(r.raw_confidence.log_p <= 0 for r in predictions)


def test_it_reads_the_same_after_storage(tmp_path: Path) -> None:
    model, _, examples = trained("label")
    model.save(tmp_path / "linear.npz")
    again = LinearModel.load(tmp_path / "linear.npz")
    texts = [x.text for x in examples[:20]] + ["words never seen before"]
    for a, b in zip(model.log_p(texts), again.log_p(texts), strict=True):
        assert np.allclose(a, b, atol=0.05)
    assert (tmp_path / "linear.npz").stat().st_size < 2_000_000


def test_a_file_that_says_more_buckets_than_there_are_takes_no_memory(tmp_path: Path) -> None:
    model, _, _ = trained("label")
    path = tmp_path / "linear.npz"
    model.save(path)
    with np.load(path) as stored:
        arrays = dict(stored)
    for n_buckets in (4_000_000_000, -1):
        np.savez(path, **{**arrays, "n_buckets": np.array(n_buckets)})
        with pytest.raises(Tampered, match=str(n_buckets)):
            LinearModel.load(path)


def test_no_word_of_the_traffic_lies_on_disk(tmp_path: Path) -> None:
    model, _, _ = trained("label")
    model.save(tmp_path / "linear.npz")
    data = (tmp_path / "linear.npz").read_bytes()
    assert b"parcel" not in data and b"example.org" not in data


def test_two_classes_are_the_right_way_round() -> None:
    model, schema, _ = trained("label")
    (prediction,) = LinearPredictor(model, schema).predict(
        ["money back please for LH-11111, urgent\nmail: none"]
    )
    assert prediction.answer == "yes"
    assert LinearPredictor(model, schema).predict([]) == []


def test_an_action_with_open_arguments_is_recognised_but_not_answered() -> None:
    model, schema, _ = trained("action", 200)
    texts = ["money back please for LH-11111\nmail: none", "cannot log in for LH-2\nmail: none"]
    refund, login = LinearPredictor(model, schema).predict(texts)
    assert refund.answer is None
    assert login.answer == [{"name": "list_orders", "arguments": {}}]


def test_on_a_small_task_what_stands_in_few_groups_only_is_left_out_where_that_helps() -> None:
    """Order numbers fill most of such a text and say nothing of the answer."""
    texts = [
        f"Order: LH-{7 * i + 10_000} Mail: user{i}@example.org Intent: {'refund' if i % 2 else 'login'}"
        for i in range(80)
    ]
    answers = ["yes" if i % 2 else "no" for i in range(80)]
    schema = closed(learn_schema(tiny_tasks.CONTRACTS["label"], answers))
    assert schema is not None
    model = fit_linear(texts, answers, schema)
    assert model.variant is not None and model.variant.min_groups > 1
    fresh = "Order: XX-99999 Mail: nobody@other.net Intent: refund"
    every = fit_linear(texts, answers, schema, variant=LinearSettings(1, 20.0))
    (sure,), (less,) = (
        LinearPredictor(model, schema).predict([fresh]),
        LinearPredictor(every, schema).predict([fresh]),
    )
    assert sure.answer == less.answer == "yes" and sure.raw_confidence.log_p > less.raw_confidence.log_p


def test_a_feature_left_out_stays_left_out_after_storage(tmp_path: Path) -> None:
    texts = [f"{'good' if i % 2 else 'bad'} thing {i}" for i in range(40)]
    answers = ["yes" if i % 2 else "no" for i in range(40)]
    schema = closed(learn_schema(tiny_tasks.CONTRACTS["label"], answers))
    assert schema is not None
    model = fit_linear(texts, answers, schema, variant=LinearSettings(5, 20.0))
    model.save(tmp_path / "linear.npz")
    again = LinearModel.load(tmp_path / "linear.npz")
    for text in ("good thing never seen 777", "bad"):
        assert np.allclose(model.log_p([text])[0], again.log_p([text])[0], atol=0.02)


def test_groups_are_not_torn_apart_when_common_features_are_counted() -> None:
    """A number that ten calls of one episode share is still one episode's."""
    texts = [f"{'good' if i % 20 < 10 else 'bad'} LH-{i // 10:05d}" for i in range(120)]
    answers = ["yes" if i % 20 < 10 else "no" for i in range(120)]
    schema = closed(learn_schema(tiny_tasks.CONTRACTS["label"], answers))
    assert schema is not None
    by_group = fit_linear(
        texts, answers, schema, groups=[str(i // 10) for i in range(120)], variant=LinearSettings(5, 20.0)
    )
    by_text = fit_linear(texts, answers, schema, variant=LinearSettings(5, 20.0))
    assert len(by_group.active_A) < len(by_text.active_A)


def test_without_a_common_feature_the_choices_are_as_likely_as_they_were_often(tmp_path: Path) -> None:
    schema = closed(learn_schema(Contract(kind="label", labels=["yes", "no"]), ["yes", "no"]))
    assert schema is not None
    texts = ["aaaa", "bbbb", "cccc", "dddd", "eeee", "ffff"]
    answers = ["yes", "yes", "yes", "no", "yes", "yes"]
    model = fit_linear(texts, answers, schema, groups=list("uvwxyz"), variant=LinearSettings(5, 20.0))
    model.save(tmp_path / "linear.npz")
    for one in (model, LinearModel.load(tmp_path / "linear.npz")):
        (lp_NC,) = one.log_p(["aaaa", "never seen"])
        assert np.allclose(np.exp(lp_NC), [[5 / 6, 1 / 6]] * 2, atol=1e-3)
    fit_linear(texts, answers, schema, groups=list("uvwxyz"))  # choosing a variant meets the same


def test_a_feature_of_one_person_alone_has_no_weight() -> None:
    """Their thirty episodes are not thirty people."""
    texts = [f"{'good' if i % 2 else 'bad'} {'zobafel' if i % 4 == 1 else ''}" for i in range(120)]
    answers = ["yes" if i % 2 else "no" for i in range(120)]
    schema = closed(learn_schema(tiny_tasks.CONTRACTS["label"], answers))
    assert schema is not None
    subjects = Subjects(["zoe" if i % 4 == 1 else f"o{i % 5}" for i in range(120)], 2)
    (with_word, bare) = fit_linear(texts, answers, schema, subjects=subjects).log_p(["zobafel", "kiwumat"])[0]
    assert np.allclose(with_word, bare, atol=1e-5)
    (with_word, bare) = fit_linear(texts, answers, schema).log_p(["zobafel", "kiwumat"])[0]
    assert not np.allclose(with_word, bare, atol=1e-2)


def margins(kind: str, n: int) -> tuple[LinearModel, ClosedAnswers]:
    _, schema, examples = trained(kind, n)
    model = fit_linear([x.text for x in examples], [x.answer for x in examples], schema, variant=LARGE)
    return model, schema


@pytest.mark.parametrize("kind", ["closed", "label"])
def test_margins_answer_as_well_and_their_scale_is_that_of_probabilities(kind: str) -> None:
    model, schema = margins(kind, 240)
    assert model.variant is not None and model.variant.is_margin
    fresh = [tiny_tasks.example(kind, i, "test") for i in range(1000, 1100)]
    truth = [answer_of(e.response, tiny_tasks.CONTRACTS[kind]) for e in fresh]
    predictions = LinearPredictor(model, schema).predict([e.request.messages[1]["content"] for e in fresh])
    right = np.array([p.answer == t for p, t in zip(predictions, truth, strict=True)])
    stated = np.exp([p.raw_confidence.log_p for p in predictions])
    assert right.mean() > 0.9
    assert abs(float(stated.mean()) - float(right.mean())) < 0.1
    for log_p in model.log_p(["any text"]):
        assert np.isclose(np.exp(log_p).sum(), 1.0, atol=1e-3)


def test_margins_are_the_same_for_the_same_texts() -> None:
    first, second = margins("label", 120)[0], margins("label", 120)[0]
    assert all(np.array_equal(a, b) for a, b in zip(first.weights, second.weights, strict=True))


def test_words_of_another_class_beside_those_of_its_own_decide_nothing(tmp_path: Path) -> None:
    """Whoever writes a prompt may add what speaks for another answer; what spoke for the first one is still there."""
    rng = np.random.default_rng(0)
    said = {
        "approve": ["bought last week", "got it on Monday", "arrived yesterday", "unpacked this morning"],
        "reject": ["bought last winter", "got it years ago", "in the house since spring", "arrived ages ago"],
    }

    def letters(n: int, answer: str) -> list[str]:
        whys = ["it rattles", "the colour is off", "a part is missing", "the box was torn", "the zip broke"]
        return [
            f"Letter: {rng.choice(said[answer])}, {rng.choice(whys)}. {rng.choice(whys)}." for _ in range(n)
        ]

    texts, answers = letters(90, "approve") + letters(90, "reject"), ["approve"] * 90 + ["reject"] * 90
    schema = closed(learn_schema(Contract(kind="label", labels=["approve", "reject"]), answers))
    assert schema is not None
    fit_linear(texts, answers, schema).save(tmp_path / "linear.npz")
    predictor = LinearPredictor(LinearModel.load(tmp_path / "linear.npz"), schema)
    fresh = predictor.predict(letters(100, "reject"))
    assert sum(p.answer == "reject" and p.raw_confidence.log_p > -0.2 for p in fresh) >= 95
    stuffed = [f"{letter} {', '.join(said['approve'][:3])}." for letter in letters(100, "reject")]
    assert sum(p.raw_confidence.log_p > -20 for p in predictor.predict(stuffed)) <= 2
    assert fit_linear(texts[60:100], answers[60:100], schema).most_against_Q[0] == np.inf, "too few to know"
