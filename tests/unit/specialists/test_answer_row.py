"""One answer in the making."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from deputize.core.records import Contract
from deputize.specialists.answer_row import AnswerRow, AnswerRules, log_sum
from deputize.specialists.language_model import LanguageModel
from deputize.specialists.learn_schema import learn_schema
from deputize.specialists.prompt_tokenizer import slot_ids


@pytest.fixture(scope="module")
def base(tiny: tuple[Path, str]) -> LanguageModel:
    return LanguageModel(tiny[0] / tiny[1], "cpu", "fp32")


def test_a_decision_is_scored_among_its_choices_and_what_follows_is_not_asked(base: LanguageModel) -> None:
    schema = learn_schema(Contract(kind="label", labels=["yes", "no"]), ["yes", "no"] * 9)
    row = AnswerRow(AnswerRules(base, schema, 24, write_free_slots=True), [1, 2])
    assert row.choices is not None and row.trial(8) == [], "nothing is tried inside a decision"
    wanted = slot_ids(base, "no")
    other = slot_ids(base, "yes")
    at = next(i for i, (a, b) in enumerate(zip(wanted, other, strict=False)) if a != b)
    head = base.lm.get_output_embeddings().weight.detach()
    state = head[wanted[at]] - head[other[at]]
    assert row.accept([], [(state, None)]) == 0
    assert row.slot is None and row.prediction().answer == "no" and row.n_out == len(wanted)


def test_the_confidence_of_a_decision_is_that_among_its_choices(base: LanguageModel) -> None:
    labels = ["yes", "order", "lamp"]
    row = AnswerRow(
        AnswerRules(
            base, learn_schema(Contract(kind="label", labels=labels), labels), 24, write_free_slots=True
        ),
        [1, 2],
    )
    assert row.choices is not None and len(row.choices) == 3
    rows_CH = base.lm.get_output_embeddings().weight.detach()[list(row.choices)]
    state = 3.0 * torch.randn(base.width, generator=torch.Generator().manual_seed(1))
    first, second, third = sorted((rows_CH @ state).tolist(), reverse=True)
    assert second - third > 0.1, "else the margin to another choice could not be told from that to the next"
    row.accept([], [(state, None)])
    confidence = row.prediction().raw_confidence
    total = float(torch.logsumexp(torch.tensor([first, second, third]), 0))
    assert confidence.log_p == pytest.approx(first - total, abs=1e-4)
    assert confidence.min_margin == pytest.approx(first - second, abs=1e-4)


def test_scores_are_summed_alike_on_any_number_of_threads() -> None:
    values, before = (
        5.0 * torch.randn(49_152, generator=torch.Generator().manual_seed(3)),
        torch.get_num_threads(),
    )
    found = []
    for n in (1, 2, 3):
        torch.set_num_threads(n)
        found.append(float(log_sum(values)))
    torch.set_num_threads(before)
    assert (
        found[0]
        == found[1]
        == found[2]
        == pytest.approx(float(torch.logsumexp(values.double(), -1)), abs=1e-5)
    )


def test_a_trial_is_kept_as_far_as_the_model_says_the_same(base: LanguageModel) -> None:
    schema = learn_schema(Contract(kind="text"), ["a b"])
    code = base.ids("LH-12345")
    row = AnswerRow(AnswerRules(base, schema, 24, write_free_slots=True), [*code, 7, 8])
    size = base.lm.get_output_embeddings().weight.shape[0]

    def says(token: int) -> tuple[torch.Tensor, torch.Tensor]:
        return torch.zeros(base.width), torch.nn.functional.one_hot(torch.tensor(token), size) * 9.0

    row.accept([], [says(code[0])])
    assert row.pending == code[:1]
    trial = row.trial(3)
    assert trial == code[1:4]
    row.pending = []
    other = next(t for t in base.ids("rug") if t != code[3])
    assert row.accept(trial, [says(code[1]), says(code[2]), says(other), says(code[4])]) == 2
    assert row.pending == [other] and row.ids == [*code[:3], other]


def test_a_trial_is_also_looked_for_in_values_written_before(base: LanguageModel) -> None:
    schema = learn_schema(Contract(kind="text"), ["a b"])
    rules = AnswerRules(base, schema, 24, write_free_slots=True)
    size = base.lm.get_output_embeddings().weight.shape[0]
    written = [*base.ids("policy"), *base.ids("yes"), base.newline]
    states = [
        (torch.zeros(base.width), torch.nn.functional.one_hot(torch.tensor(t), size) * 9.0) for t in written
    ]
    first = AnswerRow(rules, [1, 2])
    for state in states:
        assert first.trial(8) == []
        first.accept([], [state])
    assert first.slot is None and list(rules.recent) == [written[:-1]]
    second = AnswerRow(rules, [3])
    second.accept([], states[:1])
    assert second.trial(8) == written[1:-1] and second.trial(1) == written[1:2]


def test_an_answer_ends_where_the_model_can_read_no_further(
    base: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = learn_schema(Contract(kind="text"), ["a b"])
    code = base.ids("LH-12345")
    prompt = [7, *code]
    monkeypatch.setattr(base, "context", len(prompt) + 3)
    row = AnswerRow(AnswerRules(base, schema, 24, write_free_slots=True), prompt)
    row._append(code[0])
    assert row.trial(8) == code[1:3], "nothing beyond the last place is tried"
    row._append(code[1])
    assert row.slot is not None
    row._append(code[2])
    assert row.slot is None and row.prediction().answer is None


def test_a_whole_value_is_tried_ahead_of_its_first_token_where_earlier_ones_agree(
    base: LanguageModel,
) -> None:
    rules = AnswerRules(base, learn_schema(Contract(kind="text"), ["a b"]), 24, write_free_slots=True)
    head, bar = base.ids("order"), base.ids("yes")
    codes = [base.ids(f" LH-{n}") for n in ("12345", "67890", "24680")]

    def written(code: list[int], is_agreed: bool) -> AnswerRow:
        row = AnswerRow(rules, [*head, *code, base.newline])
        assert row.trial(2) == ([*bar, *code] if is_agreed else [])
        for token in [*bar, *code, base.newline]:
            row._append(token)
        return row

    written(codes[0], is_agreed=False)
    row = AnswerRow(rules, [*head, *codes[1], base.newline])
    assert row.trial(2) == [*bar, *codes[1]][:2], "one earlier value is no agreement"
    for token in [*bar, *codes[1], base.newline]:
        row._append(token)
    written(codes[2], is_agreed=True)
    other = AnswerRow(rules, [*head, *codes[0], base.newline])
    other._append(codes[0][0])
    assert other.trial(8) == codes[0][1:], "after another beginning what is copied goes on"
