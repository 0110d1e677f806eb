"""Answers written together: those of plain greedy decoding by transformers, whoever joins and whenever."""

from __future__ import annotations

from collections import deque
from pathlib import Path

import pytest
import torch
from tests import tiny_tasks

from deputize.core.contracts import answer_of
from deputize.core.prompt import prune
from deputize.specialists import joint_writing
from deputize.specialists.answer_row import AnswerRow
from deputize.specialists.base import RawPrediction
from deputize.specialists.decoder import DecoderPredictor
from deputize.specialists.language_model import LanguageModel
from deputize.specialists.learn_schema import learn_schema


@pytest.fixture(scope="module")
def base(tiny: tuple[Path, str]) -> LanguageModel:
    made = LanguageModel(tiny[0] / tiny[1], "cpu", "fp32")
    rng = torch.Generator().manual_seed(5)
    for name in ("values", "action"):
        made.new_adapter(f"of_{name}", {"r": 4, "lora_alpha": 8, "target_modules": "all-linear"})
        for _, weights in made.adapter_parameters(f"of_{name}"):
            weights.data.normal_(std=0.2, generator=rng)
    return made


def predictor(
    base: LanguageModel, task: str, kind: type[DecoderPredictor] = DecoderPredictor
) -> DecoderPredictor:
    contract = tiny_tasks.CONTRACTS[task]
    answers = [answer_of(tiny_tasks.example(task, i, "train").response, contract) for i in range(40)]
    schema = learn_schema(contract, [answer for answer in answers if answer is not None])
    return kind(base, f"of_{task}", schema, 256, 12)


class WithoutOwnLayers(DecoderPredictor):
    """A specialist of a model that our own layers do not know."""

    _is_stacked = False


def texts(task: str, n: int) -> list[str]:
    recipe = tiny_tasks.task(task).recipe
    return [prune(tiny_tasks.example(task, 60 + i, "test").request, recipe) for i in range(n)]


def generated(one: DecoderPredictor, text: str) -> tuple[object, int]:
    """(answer, tokens) of transformers' own greedy search, held to what may be written at each place."""
    base = one.base
    base.use(one.adapter)
    (prompt,) = base.prompt_ids([text], one.max_tokens)
    every = [t for t in range(len(base.banned)) if not base.banned[t]]

    def replayed(written: list[int]) -> AnswerRow:
        row = one.to_write(text, lambda told: None).row
        for token in written:
            if row.slot is not None:
                row._append(token)
        return row

    def allowed(_: int, ids: torch.Tensor) -> list[int]:
        row = replayed(ids[len(prompt) :].tolist())
        if row.slot is None:
            return [base.pad]
        return every if row.choices is None else list(row.choices)

    out = base.lm.generate(
        torch.tensor([prompt]),
        attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
        max_new_tokens=60,
        do_sample=False,
        prefix_allowed_tokens_fn=allowed,
        eos_token_id=base.pad,
        pad_token_id=base.pad,
    )
    row = replayed(out[0, len(prompt) :].tolist())
    return row.prediction().answer, row.n_out


@pytest.mark.parametrize("task", ["values", "action"])
@pytest.mark.parametrize("kind", [DecoderPredictor, WithoutOwnLayers])
def test_answers_are_those_of_transformers_generate(
    base: LanguageModel, task: str, kind: type[DecoderPredictor]
) -> None:
    one = predictor(base, task, kind)
    assert one.engine.endswith("own layers" if kind is DecoderPredictor else "transformers")
    asked = texts(task, 4)
    found = one.predict(asked)
    assert one.n_passes < sum(p.n_output_tokens for p in found), "what follows by itself takes no pass"
    for text, prediction in zip(asked, found, strict=True):
        assert (prediction.answer, prediction.n_output_tokens) == generated(one, text)


def test_who_joins_midway_changes_nothing_and_who_is_not_waited_for_leaves(base: LanguageModel) -> None:
    both = {task: predictor(base, task) for task in ("values", "action")}
    asked = [(one, text) for task, one in both.items() for text in texts(task, 3)]
    alone = [one.predict([text])[0] for one, text in asked]
    told: dict[int, RawPrediction] = {}
    writing = both["values"].begin()
    gone = both["values"].to_write(asked[0][1], lambda told: pytest.fail("nobody waits"), lambda: False)
    for n, (one, text) in enumerate(asked):
        writing.add([one.to_write(text, lambda p, n=n: told.__setitem__(n, p))])  # type: ignore[misc]
        if n == 2:
            writing.add([gone])
        writing.step()
    writing.finish()
    assert len(writing) == 0 and len(told) == 6
    for n, expected in enumerate(alone):
        assert told[n].answer == expected.answer and told[n].n_output_tokens == expected.n_output_tokens
        assert told[n].raw_confidence.log_p == pytest.approx(expected.raw_confidence.log_p, abs=1e-3)


def test_prompts_that_begin_alike_are_read_once(base: LanguageModel) -> None:
    one = predictor(base, "values")
    head = "the order LH-12345 of the customer has not arrived yet " * 2
    asked = [head + text for text in texts("values", 5)]
    one.predict(asked)
    n_prompt = sum(len(ids) for ids in base.prompt_ids(asked, 256))
    apart = predictor(base, "values")
    answers = [predictor(base, "values").predict([text])[0].answer for text in asked]
    assert [p.answer for p in apart.predict(asked)] == answers
    assert one.n_read < 0.6 * n_prompt + 60 * 5


def test_more_answers_than_there_is_room_for_wait_and_none_is_another(
    base: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, asked = predictor(base, "values"), texts("values", 7)
    alone = one.predict(asked)
    longest = max(map(len, base.prompt_ids(asked, 256)))
    monkeypatch.setattr(joint_writing, "TOKENS_KEPT", 2 * (longest + joint_writing.ROW_AHEAD))
    writing, found, waits = one.begin(), dict[int, RawPrediction](), [True] * 7
    writing.add(
        [
            one.to_write(text, lambda told, n=n: found.__setitem__(n, told), lambda n=n: waits[n])  # type: ignore[misc]
            for n, text in enumerate(asked)
        ]
    )
    waits[6] = False
    most = 0
    while len(writing):
        most = max(most, len(writing._answers))
        writing.step()
    assert most == 2 and sorted(found) == list(range(6)), "nobody waits for the last"
    assert [found[n].answer for n in range(6)] == [told.answer for told in alone[:6]]
    monkeypatch.setattr(joint_writing, "TOKENS_KEPT", 1)
    assert one.predict(asked[:2])[1].answer == alone[1].answer, "one at a time is always written"


def test_a_value_that_earlier_ones_agree_on_is_read_with_its_prompt_and_is_the_same(
    base: LanguageModel,
) -> None:
    one, (text, other) = predictor(base, "line"), texts("line", 2)
    told: list[RawPrediction] = []
    answer = one.to_write(text, told.append)
    writing = one.begin()
    writing.add([answer])
    writing.finish()
    n_passes, written = writing.n_passes, list(answer.row.ids)
    assert n_passes > 2 and len(written) > 2
    for known, most in ((written, 0), (written[:-2], 2)):
        one._rules.forms = {(None, "text"): deque([list(known), list(known)])}
        writing = one.begin()
        writing.add([one.to_write(text, told.append), one.to_write(other, lambda told: None)])
        while len(told) == 1:
            writing.step()
        assert writing.n_passes <= most
        assert told.pop().answer == told[0].answer
        found = one.predict([text])[0]
        assert found.n_output_tokens == told[0].n_output_tokens
        assert found.raw_confidence.log_p == pytest.approx(told[0].raw_confidence.log_p, abs=1e-3)
