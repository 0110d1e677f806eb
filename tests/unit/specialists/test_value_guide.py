"""Values with a form, written by a model of random weights: whatever is written validates with jsonschema."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deputize.core.errors import MissingExtra
from deputize.specialists import value_guide
from deputize.specialists.answer_schema import AnswerSchema, Slot, ToolCallSchema
from deputize.specialists.decoder import DecoderPredictor
from deputize.specialists.language_model import LanguageModel
from deputize.specialists.value_forms import grammar_of_slot
from deputize.specialists.value_guide import ValueGuides

pytest.importorskip("llguidance", reason="llguidance is not installed (pip install 'deputize[train]')")

numbers = st.integers(-99, 99).flatmap(
    lambda low: st.integers(low, 200).map(lambda high: {"type": "integer", "minimum": low, "maximum": high})
)
leaves: st.SearchStrategy[dict[str, Any]] = st.one_of(
    numbers,
    st.just({"type": "boolean"}),
    st.just({"type": "null"}),
    st.lists(st.sampled_from(["in", "out", 3, None, True]), min_size=1, unique_by=repr).map(
        lambda e: {"enum": e}
    ),
    st.sampled_from(["^[A-Z]{2}-[0-9]{1,3}$", "^(yes|no)$", "x+"]).map(
        lambda p: {"type": "string", "pattern": p}
    ),
    st.integers(1, 6).map(lambda n: {"type": "string", "maxLength": n}),
)
schemas = st.recursive(
    leaves,
    lambda inner: st.one_of(
        inner.map(lambda s: {"type": "array", "items": s, "maxItems": 2}),
        st.dictionaries(st.sampled_from("ab"), inner, min_size=1).map(
            lambda p: {
                "type": "object",
                "properties": p,
                "required": sorted(p),
                "additionalProperties": False,
            }
        ),
        st.tuples(inner, inner).map(lambda two: {"anyOf": list(two)}),
    ),
    max_leaves=3,
)


@pytest.fixture(scope="module")
def base(tiny: tuple[Path, str]) -> LanguageModel:
    return LanguageModel(tiny[0] / tiny[1], "cpu", "fp32")


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(form=schemas, plain=st.booleans(), tool=st.booleans())
def test_what_is_written_validates(
    base: LanguageModel, form: dict[str, Any], plain: bool, tool: bool
) -> None:
    """Of a reply and of a tool's arguments; a value that is not complete in time is no answer."""
    slot = Slot(name="x", role="value", plain=plain, form=json.dumps(form))
    one = ToolCallSchema(tool="t", slots=[slot], keys=["x"])
    action = Slot(name="<action>", role="decision", choices=["t", "u"])
    schema = (
        AnswerSchema(kind="tool_call", actions={"t": [one], "u": []}, action_field=action)
        if tool
        else AnswerSchema(kind="json", slots=[slot], keys=["x"])
    )
    for found in DecoderPredictor(base, "", schema, 128, 60).predict([f"{form}", "another prompt"]):
        answer = found.answer
        if tool and isinstance(answer, list):
            answer = answer[0]["arguments"] if answer and answer[0]["name"] == "t" else None
        # a text as it stands has no form where the schema does not say of which
        if answer and (not plain or one_of_texts(form)):
            jsonschema.validate(answer["x"], form)


def one_of_texts(form: dict[str, Any]) -> bool:
    return form.get("type") == "string"


@pytest.mark.parametrize(
    "form",
    [
        {"type": "integer", "minimum": 3, "maximum": 12},
        {"type": "array", "items": {"enum": ["a", "b"]}, "minItems": 1, "maxItems": 2},
        {
            "type": "object",
            "properties": {"n": {"type": "boolean"}},
            "required": ["n"],
            "additionalProperties": False,
        },
    ],
)
def test_it_is_complete_where_random_weights_alone_write_no_answer(
    base: LanguageModel, form: dict[str, Any]
) -> None:
    free = AnswerSchema(kind="json", slots=[Slot(name="x", role="value", plain=False)], keys=["x"])
    formed = AnswerSchema(
        kind="json", slots=[Slot(name="x", role="value", plain=False, form=json.dumps(form))], keys=["x"]
    )
    (without,) = DecoderPredictor(base, "", free, 128, 60).predict(["how many?"])
    (found,) = DecoderPredictor(base, "", formed, 128, 60).predict(["how many?"])
    assert without.answer is None and found.answer is not None
    jsonschema.validate(found.answer["x"], form)
    assert found.raw_confidence.log_p <= 0


def test_a_grammar_is_compiled_once_and_a_missing_package_is_named(
    base: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    guides = ValueGuides(base)
    slot = Slot(name="x", role="value", plain=False, form='{"type": "boolean"}')
    one, two = guides.of(slot), guides.of(slot)
    assert one is not None and two is not None and len(guides._fresh) == 1
    (true,) = {i for i in range(len(base.banned)) if not one.forbidden()[i]} & set(base.ids("true")[:1])
    before = two.forbidden().clone()
    one.take(true)
    assert bool((two.forbidden() == before).all()), "each value has a place of its own"
    assert guides.of(Slot(name="x", role="value")) is None
    other = Slot(name="x", role="value", plain=False, form='{"const": 1}')
    monkeypatch.setattr(value_guide, "MOST_GRAMMARS", 1)
    assert guides.of(other) is not None and list(guides._fresh) == [grammar_of_slot(other)]
    monkeypatch.setitem(__import__("sys").modules, "llguidance", None)
    with pytest.raises(MissingExtra, match=r"deputize\[train\]"):
        ValueGuides(base).of(slot)


def test_what_follows_whatever_is_chosen_is_told_ahead(base: LanguageModel) -> None:
    form = {
        "type": "object",
        "properties": {"order": {"enum": ["yes", "no"]}},
        "required": ["order"],
        "additionalProperties": False,
    }
    guide = ValueGuides(base).of(Slot(name="x", role="value", plain=False, form=json.dumps(form)))
    assert guide is not None
    written = base.ids(' {"order": "yes"}\n')
    told = list[int]()
    for at, token in enumerate(written):
        forced = guide.forced()
        assert written[at : at + len(forced)] == forced, "nothing but what must come"
        told += [at] if forced else []
        guide.take(token)
    text = base.tokenizer.decode([written[at] for at in told], clean_up_tokenization_spaces=False)
    assert "order" in text and "}" in text and "y" not in text
