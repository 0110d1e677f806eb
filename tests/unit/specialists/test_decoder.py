"""Decoding: inside its closed sets, the same with and without copying on trial."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import msgspec
import pytest
import transformers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests import tiny_tasks

from deputize.core.contracts import DEFER, agree, answer_of
from deputize.core.prompt import prune
from deputize.core.records import Contract, Field
from deputize.core.subjects import Subjects
from deputize.locations import models_path
from deputize.specialists import catalogue, decoder
from deputize.specialists.answer_row import AnswerRow
from deputize.specialists.answer_schema import REPLY, Slot
from deputize.specialists.decoder import DecoderPredictor
from deputize.specialists.kept_forms import read_forms
from deputize.specialists.language_model import LanguageModel
from deputize.specialists.learn_schema import learn_schema
from deputize.specialists.prompt_tokenizer import slot_ids

SLM = "SmolLM2-135M-Instruct"


@pytest.fixture(scope="module")
def base(tiny: tuple[object, str]) -> LanguageModel:
    return LanguageModel(tiny[0] / tiny[1], "cpu", "fp32")  # type: ignore[operator]


def form_of(kind: str, n: int = 40) -> object:
    contract = tiny_tasks.CONTRACTS[kind]
    return learn_schema(
        contract, [answer_of(tiny_tasks.example(kind, i, "train").response, contract) for i in range(n)]
    )


@pytest.mark.parametrize("kind", list(tiny_tasks.CONTRACTS))
def test_what_is_written_keeps_the_contract_whatever_the_weights(base: LanguageModel, kind: str) -> None:
    schema = form_of(kind)
    texts = [
        prune(tiny_tasks.example(kind, i, "test").request, tiny_tasks.task(kind).recipe) for i in range(6)
    ]
    for prediction in DecoderPredictor(base, "", schema, 256, 24).predict(texts):  # type: ignore[arg-type]
        answer = prediction.answer
        assert prediction.raw_confidence.log_p <= 0 and prediction.n_output_tokens > 0
        if answer is None or answer == DEFER:
            continue
        if kind == "closed":
            assert answer["intent"] in ("refund", "delivery", "login") and answer["source"] == "mail"
        if kind == "values":
            assert list(answer) == ["note", "order", "email", "intent"]
        if kind == "action":
            assert answer[0]["name"] in tiny_tasks.CONTRACTS["action"].tools


@pytest.mark.parametrize("kind", ["values", "action", "line"])
def test_trials_and_company_change_nothing(base: LanguageModel, kind: str) -> None:
    schema = form_of(kind)
    texts = [
        prune(tiny_tasks.example(kind, i, "test").request, tiny_tasks.task(kind).recipe) for i in range(7)
    ]
    plain = DecoderPredictor(base, "", schema, 256, 24, max_trial=0).predict(texts)  # type: ignore[arg-type]
    tried = DecoderPredictor(base, "", schema, 256, 24, max_trial=8)  # type: ignore[arg-type]
    alone = [tried.predict([text])[0] for text in texts]
    for one, two, three in zip(plain, tried.predict(texts), alone, strict=True):
        assert one.answer == two.answer == three.answer
        assert one.n_output_tokens == two.n_output_tokens == three.n_output_tokens
        assert one.raw_confidence.log_p == pytest.approx(two.raw_confidence.log_p, abs=1e-3)
        assert one.raw_confidence.log_p == pytest.approx(three.raw_confidence.log_p, abs=1e-3)


@pytest.mark.parametrize("kind", ["values", "action", "line"])
def test_forms_of_training_change_no_answer_and_are_saved_with_it(
    base: LanguageModel, kind: str, tmp_path: Path
) -> None:
    schema, recipe = form_of(kind), tiny_tasks.task(kind).recipe
    made = [tiny_tasks.example(kind, i, "train") for i in range(40)]
    texts = [prune(tiny_tasks.example(kind, i, "test").request, recipe) for i in range(7)]
    plain, knows = (DecoderPredictor(base, "", schema, 256, 24) for _ in range(2))  # type: ignore[arg-type]
    answers = [answer_of(one.response, tiny_tasks.CONTRACTS[kind]) for one in made]
    knows.know_forms(
        [prune(one.request, recipe) for one in made], answers, Subjects([str(i) for i in range(40)], 2)
    )
    assert knows.forms and {form.action for form in knows.forms} <= {
        None,
        *tiny_tasks.CONTRACTS[kind].tools,
        REPLY,
    }
    for one, two, three in zip(
        plain.predict(texts), knows.predict(texts), knows.without_free_slots().predict(texts), strict=True
    ):
        assert one.answer == two.answer and one.n_output_tokens == two.n_output_tokens
        assert one.raw_confidence.log_p == pytest.approx(two.raw_confidence.log_p, abs=1e-3)
        assert one.raw_confidence.log_p == pytest.approx(three.raw_confidence.log_p, abs=1e-3)
    knows.save(tmp_path)
    assert read_forms(tmp_path) == knows.forms == knows.without_free_slots().forms


def test_the_first_line_is_tried_whole_where_its_form_is_known(base: LanguageModel) -> None:
    schema = learn_schema(Contract(kind="text"), ["a b"])
    predictor = DecoderPredictor(base, "", schema, 256, 24)
    orders = ["LH-12", "LH-34", "LH-56"]
    predictor.know_forms(
        [f"order: {order}\nmail" for order in orders],
        [f"order {order} refund" for order in orders],
        Subjects(["a", "b", "c"], 2),
    )
    (prompt,) = base.prompt_ids(["order: LH-78\nmail"], 256)
    row = AnswerRow(predictor._rules, prompt)
    assert base.tokenizer.decode(row.trial(1)).strip() == "order LH-78 refund"


def test_a_certificate_of_other_arithmetic_is_one_of_another_engine(
    base: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = DecoderPredictor(base, "", form_of("line"), 256, 24)  # type: ignore[arg-type]
    assert one.engine == f"local fp32 on cpu, decoder {decoder.DECODER_VERSION}, own layers"
    monkeypatch.setattr(base.lm.config, "model_type", "gemma3_text")
    other = DecoderPredictor(base, "", form_of("line"), 256, 24)  # type: ignore[arg-type]
    assert other.engine == f"local fp32 on cpu, decoder {decoder.DECODER_VERSION}, transformers"
    assert len({one.engine, other.engine, base.engine}) == 3, "a model's other specialists name no decoder"
    monkeypatch.setattr(decoder, "DECODER_VERSION", decoder.DECODER_VERSION + 1)
    assert other.engine.startswith(f"local fp32 on cpu, decoder {decoder.DECODER_VERSION}, ")


@pytest.mark.parametrize("kind", ["values", "closed"])
def test_warming_up_changes_no_answer_and_leaves_no_trace(base: LanguageModel, kind: str) -> None:
    schema = form_of(kind)
    text = prune(tiny_tasks.example(kind, 3, "test").request, tiny_tasks.task(kind).recipe)
    cold, warm = (DecoderPredictor(base, "", schema, 256, 24) for _ in range(2))  # type: ignore[arg-type]
    warm.warm_up()
    assert not warm._rules.recent and not warm._adapter.prefix.ids
    assert warm.predict([text]) == cold.predict([text])


def test_a_value_that_does_not_end_is_no_answer(base: LanguageModel) -> None:
    predictions = DecoderPredictor(base, "", form_of("line"), 256, 1).predict(["hello", "there"])  # type: ignore[arg-type]
    assert [r.answer for r in predictions] == [None, None]


def test_a_form_of_constants_needs_no_model(base: LanguageModel) -> None:
    contract = Contract(kind="json", fields=[Field(name="a", type="label", labels=["x"])])
    predictor = DecoderPredictor(base, "", learn_schema(contract, [{"a": "x"}] * 9), 64, 8)
    (prediction,) = predictor.predict(["anything"])
    assert prediction.answer == {"a": "x"} and predictor.n_passes == 0


def test_a_slot_ends_with_a_break_and_starts_as_running_text(base: LanguageModel) -> None:
    ids = slot_ids(base, "refund")
    assert ids[-1] == base.newline and base.tokenizer.decode(ids[:-1]) == " refund"
    assert bool(base.banned[base.tokenizer.eos_token_id]) and not bool(base.banned[base.newline])


@pytest.mark.model
def test_copying_on_trial_saves_passes_with_a_real_model() -> None:
    folder = models_path()
    if not catalogue.is_fetched(SLM, folder):
        pytest.skip(f"{SLM} is not fetched: deputize models fetch {SLM}")
    base = LanguageModel(folder / SLM, "cpu", "fp32")
    schema = learn_schema(Contract(kind="text"), ["a b"])
    text = "abc-1234-xyz-9876 abc-1234-xyz-9876 abc-1234-xyz-9876 abc-1234-xyz-9876\nRepeat the code of the line above:"
    # the code stands behind the frame as well, so that the untuned model goes on with it
    base.__dict__["frame"] = msgspec.structs.replace(
        base.frame, before="", after=" abc-1234-xyz-9876 abc-1234-xyz"
    )
    plain, tried = (DecoderPredictor(base, "", schema, 128, 24, max_trial=n) for n in (0, 8))
    one, two = plain.predict([text]), tried.predict([text])
    assert one[0].answer == two[0].answer
    assert one[0].raw_confidence.log_p == pytest.approx(two[0].raw_confidence.log_p, abs=1e-2)
    assert tried.n_passes < 0.6 * plain.n_passes


def test_prose_left_out_changes_neither_what_is_compared_nor_the_confidence(base: LanguageModel) -> None:
    contract, schema = tiny_tasks.CONTRACTS["values"], form_of("values")
    texts = [
        prune(tiny_tasks.example("values", i, "test").request, tiny_tasks.task("values").recipe)
        for i in range(8)
    ]
    predictor = DecoderPredictor(base, "", schema, 256, 24)  # type: ignore[arg-type]
    whole, short = predictor.predict(texts), predictor.without_free_slots().predict(texts)
    for one, two in zip(whole, short, strict=True):
        if one.answer is not None:
            # an answer whose prose does not end is none; without the prose it may be one
            assert agree(one.answer, two.answer, contract)
        if two.answer is not None:
            assert two.answer["note"] == "" and two.n_output_tokens < one.n_output_tokens
        assert one.raw_confidence == pytest.approx(two.raw_confidence, abs=1e-3)


@cache
def tokenizer_of(path: Path) -> LanguageModel:
    """A model without its weights."""
    model = LanguageModel.__new__(LanguageModel)
    model.path, model.tokenizer = path, transformers.AutoTokenizer.from_pretrained(path)
    return model


@pytest.mark.parametrize("name", ["tiny", SLM])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    text=st.text(st.characters(max_codepoint=0xFFFF, exclude_categories=["Cs"]), min_size=1, max_size=40)
    | st.sampled_from(["a:\n    b()\n\tc", "- x\n  - y", 'a "b" \\n c', "  a  ", "🚚 late"])
)
def test_no_text_is_flattened_by_the_tokenizer(tiny: tuple[Path, str], name: str, text: str) -> None:
    folder = tiny[0] / tiny[1] if name == "tiny" else models_path() / SLM
    if not folder.is_dir():
        pytest.skip(f"{SLM} is not fetched")
    model, slot = tokenizer_of(folder), Slot(name="x", role="value")
    *ids, end = slot_ids(model, slot.write(text))
    assert end == model.newline and model.newline not in ids
    back = model.tokenizer.decode(ids, clean_up_tokenization_spaces=False).removeprefix(" ")
    assert slot.read(back) == (True, text)
