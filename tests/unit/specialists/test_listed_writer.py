"""The chooser and the writer put together: each call in the schema of its own request, as sure as both are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from tests.simulated_lists import CONTRACT, RECIPE, TOOLS, call_of, example_of, schema_call

from deputize.core.contracts import DEFER, answer_of
from deputize.core.listed_tools import split_list
from deputize.core.prompt import prune
from deputize.core.records import Call, Contract
from deputize.core.subjects import Subjects
from deputize.specialists.answer_schema import AnswerSchema
from deputize.specialists.confidence import RawConfidence
from deputize.specialists.decoder import DecoderPredictor
from deputize.specialists.fit_listed import fit_listed
from deputize.specialists.language_model import LanguageModel
from deputize.specialists.listed_answers import ListedChoice, ListedPredictor
from deputize.specialists.listed_values import pieces_of
from deputize.specialists.listed_writer import ListedWriter

pytest.importorskip("llguidance", reason="llguidance is not installed (pip install 'deputize[train]')")
REPLIES = Contract(kind="json", from_request=True)


@pytest.fixture(scope="module")
def base(tiny: tuple[Path, str]) -> LanguageModel:
    return LanguageModel(tiny[0] / tiny[1], "cpu", "fp32")


def chooser_of(contract: Contract, calls: list[Call]) -> ListedPredictor:
    examples = [example_of(call) for call in calls]
    found = fit_listed(
        contract,
        [prune(e.request, RECIPE) for e in examples],
        [answer_of(e.response, contract) or DEFER for e in examples],
        groups=[e.group for e in examples],
        subjects=Subjects([e.subject for e in examples], 1),
    )
    assert found is not None
    return found


@pytest.fixture(scope="module")
def writer(base: LanguageModel) -> ListedWriter:
    chooser = chooser_of(CONTRACT, [call_of(i, TOOLS[:12]) for i in range(60)])
    decoder = DecoderPredictor(base, "", AnswerSchema(kind="tool_call"), 448, 120)
    return ListedWriter(chooser, decoder)


def parameters(call: Call, name: str) -> dict[str, Any]:
    return next(t["function"]["parameters"] for t in call.tools or () if t["function"]["name"] == name)


def test_the_chooser_decides_and_what_is_written_keeps_the_schema_of_the_request(
    writer: ListedWriter,
) -> None:
    calls = [call_of(i, TOOLS[:12]) for i in range(100, 112)]
    texts = [prune(call.request(), RECIPE) for call in calls]
    n_called = 0
    for call, found, copied in zip(calls, writer.predict(texts), writer.chooser.predict(texts), strict=True):
        assert found.raw_confidence.log_p <= 0
        if copied.answer == DEFER:
            assert found.answer == DEFER
        elif found.answer is not None:
            assert isinstance(found.answer, list) and isinstance(copied.answer, list)
            (made,), (told,) = found.answer, copied.answer
            assert made["name"] == told["name"]
            jsonschema.validate(made["arguments"], parameters(call, made["name"]))
            n_called += 1
    assert n_called, "random weights complete some"


def test_company_and_trials_change_nothing(writer: ListedWriter, base: LanguageModel) -> None:
    texts = [prune(call_of(i, TOOLS[:12]).request(), RECIPE) for i in range(200, 206)]
    plain = DecoderPredictor(base, "", AnswerSchema(kind="tool_call"), 448, 120, max_trial=0)
    together = writer.predict(texts)
    one_by_one = [writer.predict([text])[0] for text in texts]
    untried = ListedWriter(writer.chooser, plain).predict(texts)
    assert plain.n_passes > 0
    for one, two, three in zip(together, one_by_one, untried, strict=True):
        assert one.answer == two.answer == three.answer
        assert one.raw_confidence.log_p == pytest.approx(two.raw_confidence.log_p, abs=1e-3)
        assert one.raw_confidence.log_p == pytest.approx(three.raw_confidence.log_p, abs=1e-3)


def test_it_is_no_surer_than_the_choice_or_the_writing(writer: ListedWriter) -> None:
    text = prune(call_of(301, TOOLS[:12]).request(), RECIPE)
    (found,) = writer.predict([text])
    (copied,) = writer.chooser.predict([text])
    assert isinstance(copied.answer, list), "one that is called"
    surer = ListedWriter(writer.chooser, writer.decoder)
    choice = surer.chooser.choose_tool
    try:
        surer.chooser.choose_tool = lambda *given: choice(*given)._replace(log_p=-2.0, margin=0.5)  # type: ignore[method-assign]
        (unsure,) = surer.predict([text])
    finally:
        surer.chooser.choose_tool = choice  # type: ignore[method-assign]
    assert unsure.raw_confidence.log_p <= -2.0 and unsure.raw_confidence.min_margin <= 0.5
    assert found.raw_confidence.log_p - unsure.raw_confidence.log_p == pytest.approx(2.0, abs=0.7), (
        "what was written counts as before"
    )


def test_what_copies_values_is_a_second_opinion(writer: ListedWriter) -> None:
    text = prune(call_of(301, TOOLS[:12]).request(), RECIPE)
    (copied,) = writer.chooser.predict([text])
    assert isinstance(copied.answer, list)
    asked, tools = split_list(text)
    prompt, tool = pieces_of(asked), next(t for t in tools if t.name == copied.answer[0]["name"])
    arguments = copied.answer[0]["arguments"]
    chosen = writer.chooser.choose_tool(prompt, tools)
    its_own = writer.chooser.log_p_of(tool, arguments, prompt)
    assert copied.raw_confidence.log_p == pytest.approx(chosen.log_p + its_own), "what it would have copied"
    other = {**arguments, "person": "Nobody Whom The Request Names"}
    assert writer.chooser.log_p_of(tool, other, prompt) < its_own - 0.1
    assert writer.chooser.log_p_of(tool, {}, prompt) < its_own, "left out what it needs"
    texts = [prune(call_of(i, TOOLS[:12]).request(), RECIPE) for i in range(300, 312)]
    told = writer.predict(texts)
    assert any(isinstance(one.answer, list) for one in told)
    for one, text in zip(told, texts, strict=True):
        if isinstance(one.answer, list):
            asked, tools = split_list(text)
            tool = next(t for t in tools if t.name == one.answer[0]["name"])
            expected = writer.chooser.log_p_of(tool, one.answer[0]["arguments"], pieces_of(asked))
            assert one.raw_confidence.mean_margin == expected < 0.0
    none = writer._none(ListedChoice(len(tools), -0.4, 1.2))
    assert none.answer == DEFER and none.raw_confidence == RawConfidence(-0.4, 1.2, 0.0)


def test_without_a_list_it_answers_nothing(writer: ListedWriter) -> None:
    assert [p.answer for p in writer.predict(["Hello", ""])] == [DEFER, DEFER]
    assert writer.predict([]) == []


def test_reply_schemas_are_written_too(base: LanguageModel) -> None:
    chooser = chooser_of(REPLIES, [schema_call(i) for i in range(40)])
    made = ListedWriter(chooser, DecoderPredictor(base, "", AnswerSchema(kind="json"), 448, 120))
    calls = [schema_call(i) for i in range(100, 106)]
    found = made.predict([prune(call.request(), RECIPE) for call in calls])
    written = [(c, p.answer) for c, p in zip(calls, found, strict=True) if p.answer is not None]
    assert written
    for call, answer in written:
        jsonschema.validate(answer, (call.response_format or {})["json_schema"]["schema"])
        json.dumps(answer)


def test_warming_up_leaves_no_trace(writer: ListedWriter, base: LanguageModel) -> None:
    fresh = ListedWriter(writer.chooser, DecoderPredictor(base, "", AnswerSchema(kind="tool_call"), 448, 120))
    fresh.warm_up()
    assert not fresh.decoder._rules.recent and not fresh.decoder._adapter.prefix.ids
    text = prune(call_of(301, TOOLS[:12]).request(), RECIPE)
    assert [p.answer for p in fresh.predict([text])] == [p.answer for p in writer.predict([text])]
