"""A specialist for lists that differ: calls tools it has never seen, says that none fits, and keeps nothing of one
person."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.simulated_lists import CONTRACT, PEOPLE, RECIPE, TOOLS, call_of, schema_call

from deputize.core.contracts import DEFER, agree, answer_of, served_message
from deputize.core.prompt import prune
from deputize.core.records import Call, Contract, Request
from deputize.core.subjects import Subjects
from deputize.specialists.fit_listed import fit_listed
from deputize.specialists.listed_answers import HISTORY_FILE, ListedPredictor

SEEN, UNSEEN = TOOLS[:60], TOOLS[60:]


def fitted(calls: list[Call], contract: Contract = CONTRACT, least: int = 2) -> ListedPredictor:
    made = fit_listed(
        contract,
        [prune(c.request(), RECIPE) for c in calls],
        [answer_of(c.response, contract) for c in calls],
        groups=[c.episode for c in calls],
        subjects=Subjects([c.origin for c in calls], least),
    )
    assert made is not None
    return made


@pytest.fixture(scope="module")
def made() -> ListedPredictor:
    return fitted([call_of(i, SEEN) for i in range(160)])


def accuracy(made: ListedPredictor, calls: list[Call], contract: Contract = CONTRACT) -> float:
    found = made.predict([prune(c.request(), RECIPE) for c in calls])
    told = [answer_of(c.response, contract) for c in calls]
    return sum(agree(p.answer, t, contract) for p, t in zip(found, told, strict=True)) / len(calls)


def test_tools_that_were_never_in_training_are_called_with_their_arguments(made: ListedPredictor) -> None:
    assert accuracy(made, [call_of(i, SEEN) for i in range(900, 960)]) > 0.9
    assert accuracy(made, [call_of(i, UNSEEN) for i in range(900, 960)]) > 0.85
    none_fits = [call_of(i, UNSEEN) for i in range(900, 1100) if i % 6 == 0]
    found = made.predict([prune(c.request(), RECIPE) for c in none_fits])
    assert sum(p.answer == DEFER for p in found) > 0.8 * len(found), "none of them fits is an answer"


def test_what_is_saved_predicts_the_same_and_the_same_seed_makes_the_same(
    made: ListedPredictor, tmp_path: Path
) -> None:
    texts = [prune(call_of(i, UNSEEN).request(), RECIPE) for i in range(900, 920)]
    made.save(tmp_path)
    assert ListedPredictor.load(CONTRACT, tmp_path).predict(texts) == made.predict(texts)
    again = fitted([call_of(i, SEEN) for i in range(160)])
    assert again.predict(texts) == made.predict(texts)


def test_values_and_tools_of_too_few_people_are_not_kept(tmp_path: Path) -> None:
    calls = [call_of(i, SEEN) for i in range(80)]
    fitted(calls, least=2).save(tmp_path)
    kept = (tmp_path / HISTORY_FILE).read_text("utf-8")
    assert any(tool in kept for tool in ("find_flight", "book_hotel")), "tools of many people are"
    fitted(calls, least=10_000).save(tmp_path)
    none = json.loads((tmp_path / HISTORY_FILE).read_text("utf-8"))
    assert none == {"rates": {}, "arguments": []} and not any(p in json.dumps(none) for p in PEOPLE)


def test_without_a_list_or_a_call_there_is_nothing_to_fit() -> None:
    calls = [call_of(i * 6, SEEN) for i in range(30)]
    texts = [prune(c.request(), RECIPE) for c in calls]
    more = {"groups": [c.id for c in calls], "subjects": Subjects([c.id for c in calls], 1)}
    assert fit_listed(CONTRACT, texts, [DEFER] * 30, **more) is None  # type: ignore[arg-type]
    assert fit_listed(CONTRACT, ["no list"] * 30, [[{"name": "f", "arguments": {}}]] * 30, **more) is None  # type: ignore[arg-type]


def test_reply_schemas_that_vary_are_filled_in() -> None:
    contract = Contract(kind="json", from_request=True)
    made = fitted([schema_call(i) for i in range(150)], contract)
    assert accuracy(made, [schema_call(i) for i in range(500, 550)], contract) > 0.9


NAMES = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=10)
SCHEMAS = st.sampled_from(
    [
        {"type": "string"},
        {"type": "integer"},
        {"type": "number"},
        {"type": "boolean"},
        {"type": "string", "enum": ["a", "b"]},
        {"type": "array", "items": {"type": "string"}},
        {"type": "object"},
        {"type": "string", "pattern": "^a+$"},
        {"type": "integer", "minimum": 5},
        {"anyOf": [{"type": "string"}, {"type": "null"}]},
    ]
)
LISTS = st.dictionaries(NAMES, st.dictionaries(NAMES, SCHEMAS, max_size=4), min_size=1, max_size=4)


@settings(max_examples=80, deadline=None)
@given(LISTS, st.text(max_size=120), st.data())
def test_an_answer_keeps_the_grammar_of_the_tools_of_its_request(
    made: ListedPredictor, lists: dict[str, dict[str, dict[str, object]]], text: str, data: st.DataObject
) -> None:
    parameters = {
        name: {
            "type": "object",
            "properties": properties,
            "required": data.draw(st.lists(st.sampled_from([*properties, "x"]), unique=True))
            if properties
            else [],
            "additionalProperties": False,
        }
        for name, properties in lists.items()
    }
    tools = [{"type": "function", "function": {"name": n, "parameters": s}} for n, s in parameters.items()]
    request = Request(messages=[{"role": "user", "content": text}], tools=tools)
    (found,) = made.predict([prune(request, RECIPE)])
    if found.answer in (None, DEFER):
        return
    (call,) = found.answer
    jsonschema.validate(call["arguments"], parameters[call["name"]])
    assert served_message(found.answer, CONTRACT, iter(["id"])) is not None
