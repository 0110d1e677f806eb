"""Terms, fields and numbers that the application holds for sensitive are replaced, and answers still follow from
prompts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deputize.core.artifacts import Curated
from deputize.core.config import Convert
from deputize.core.contracts import text_of
from deputize.core.errors import BadInput
from deputize.core.records import Call, encode
from deputize.privacy.deidentify import ANSWER_LOST
from deputize.privacy.detectors.base import Detector
from deputize.privacy.detectors.numbers import NumberDetector
from deputize.privacy.detectors.rules import RuleDetector
from deputize.privacy.detectors.sensitive_terms import SensitiveDetector
from deputize.privacy.replace.answer_values import occurs_in
from deputize.privacy.replace.surrogates import Surrogates, episode_key
from deputize.privacy.standard_detectors import DetectorSet
from deputize.stages.collect.audience import infer_sites
from deputize.stages.curate.run import run

NAMED = ("Project Falcon", r"re:INC-\d{6}", "field:diagnosis")


def values(detector: Detector, text: str) -> list[str]:
    return [text[s.start : s.end] for s in detector.detect([text])[0]]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("about project  falcon and INC-123456.", ["project  falcon", "INC-123456"]),
        ("Project Falconry, INC-12", []),
        ("Diagnosis: type 2 diabetes", ["type 2 diabetes"]),
        ('{"diagnosis": "type 2 diabetes", "age": 4}', ["type 2 diabetes"]),
        ('{"diagnosis":["flu","gout"],"a":"b"}', ["flu", "gout"]),
        (r'{"diagnosis": "flu\nand gout\u00e9s"}', ["flu", "and gout", "s"]),
        ('{"diagnosis": null}', []),
        ('{"diagnosis": 1234, "x": 1}', ["1234"]),
        ("diagnosis = burn", ["burn"]),
        ("prediagnosis: burn", []),
    ],
)
def test_terms_patterns_and_fields_are_found(text: str, found: list[str]) -> None:
    assert sorted(values(SensitiveDetector(NAMED), text)) == sorted(found)


@pytest.mark.parametrize("entry", ["", "re:(", "re:a*", "field: ", "re:"])
def test_an_entry_that_cannot_be_used_is_bad_input(entry: str) -> None:
    with pytest.raises(BadInput, match="sensitive"):
        SensitiveDetector(["fine", entry])


@given(st.text(max_size=80))
def test_any_text_can_be_looked_at(text: str) -> None:
    for detector in (SensitiveDetector(NAMED), NumberDetector()):
        for span in detector.detect([text])[0]:
            assert 0 <= span.start < span.end <= len(text)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("pay 48,213.77 for 12 boxes of 250 g", ["48,213.77", "250"]),
        ('{"total":48213.77,"n":3}', ["48213.77"]),
        ("on 2024-05-17 at 10:4512, order A-48213, in 1999", []),
        ("3.14159 and v1.2.345", ["3.14159"]),
    ],
)
def test_numbers_that_tell_something(text: str, found: list[str]) -> None:
    assert values(NumberDetector(), text) == found


@given(st.integers(100, 10**11), st.integers(0, 2))
def test_an_amount_keeps_its_size_and_its_form(number: int, decimals: int) -> None:
    value = f"{number:,}" + (f".{'7' * decimals}" if decimals else "")
    made = Surrogates(episode_key(b"k" * 32, "e")).of("AMOUNT", value)
    assert [c if not c.isdigit() else "0" for c in made] == [c if not c.isdigit() else "0" for c in value]
    assert made.replace(",", "")[:2] == value.replace(",", "")[:2]


@given(st.text(alphabet="abcdefgh XYZ019", min_size=4, max_size=30).filter(lambda t: t.strip()))
def test_a_sensitive_value_becomes_another_of_the_same_form(value: str) -> None:
    made = Surrogates(episode_key(b"k" * 32, "e")).of("SENSITIVE", value)
    assert len(made.split()) == len(value.split())
    if any(len(w) > 3 for w in value.split()):
        assert made != value


def test_a_value_stands_in_a_text_as_a_whole_only() -> None:
    assert occurs_in("123", "n 123.") and not occurs_in("123", "51234") and not occurs_in("ann", "annual")
    assert occurs_in("ann", "annual ann")


PARTS = "pancreat gastr dermat nephr hepat arthr neur bronch col crani enter gingiv kerat laryng mast myel oste phleb rhin tonsill".split()  # noqa: SIM905


def log(n: int = 60, total: Any = None) -> list[Call]:
    """A ward letter a call: what is asked for is copied out of it, and one label depends on the amount."""
    out = []
    for i in range(n):
        amount = 10_000 + 1_371 * i
        condition = (
            f"{('acute', 'chronic', 'mild')[i % 3]} {PARTS[i % 20]}{('itis', 'algia', 'osis')[i // 20]}"
        )
        letter = f"Ward letter.\nDiagnosis: {condition}\nThis is about Project Falcon, case INC-{100000 + i}, {amount:,} euros."
        answer = {
            "condition": condition,
            "amount": f"{amount:,}" if total is None else total(i),
            "large": "yes" if amount > 50_000 else "no",
        }
        out.append(
            Call(
                id=f"c{i}",
                agent="ward",
                episode=f"e{i}",
                messages=[
                    {"role": "system", "content": "Read the letter. Answer as JSON."},
                    {"role": "user", "content": letter},
                ],
                response={"role": "assistant", "content": json.dumps(answer)},
            )
        )
    return out


def curate(calls: list[Call], privacy: str = "paraphrase", named: tuple[str, ...] = NAMED) -> Curated:
    detectors: list[Detector] = [RuleDetector(), SensitiveDetector(named)]
    return run(
        calls,
        infer_sites(calls),
        Convert(privacy=privacy),
        key=b"k" * 32,
        detectors=DetectorSet(detectors),
    )


def test_sensitive_terms_and_numbers_go_and_copies_stay_copies() -> None:
    calls = log()
    out = curate(calls)
    everything = encode(out).decode()
    for gone in (
        "Falcon",
        "pancreatitis",
        "femur",
        "INC-1000",
        *(f"{10_000 + 1_371 * i:,}" for i in range(5, 60)),
    ):
        assert gone not in everything
    assert len(out.examples) > 50
    for e in out.examples:
        answer, letter = json.loads(text_of(e.response)), text_of(e.request.messages[1])
        assert letter.startswith("Ward letter.\nDiagnosis: ")
        assert answer["condition"] in letter and answer["amount"] in letter
        assert answer["large"] in ("yes", "no")
    kept = {f"c{i}": "yes" if 10_000 + 1_371 * i > 50_000 else "no" for i in range(60)}
    assert all(json.loads(text_of(e.response))["large"] == kept[e.call_id] for e in out.examples)


def test_sensitive_terms_are_replaced_at_every_level_and_numbers_at_this_one_only() -> None:
    everything = encode(curate(log(), "standard")).decode()
    assert "Falcon" not in everything and "pancreatitis" not in everything and "12,742" in everything


def test_numbers_stay_where_answers_work_them_out() -> None:
    out = curate(log(total=lambda i: 3 * (10_000 + 1_371 * i)))
    assert "12,742" in encode(out).decode() and any("computed" in w for w in out.warnings)


def test_a_label_that_is_named_sensitive_stays_a_label() -> None:
    out = curate(log(), named=("field:diagnosis", "yes"))
    assert {json.loads(text_of(e.response))["large"] for e in out.examples} == {"yes", "no"}
    assert any("answers with them" in w for w in out.warnings)
    assert not any("answers with them" in w for w in curate(log()).warnings)


def test_a_call_whose_answer_would_no_longer_follow_is_left_out() -> None:
    calls = log()
    # the letter holds the value only inside a pattern that is replaced as a whole, the answer holds a part of it
    odd = Call(
        id="odd",
        agent="ward",
        episode="odd",
        messages=[
            {"role": "system", "content": "Read the letter. Answer as JSON."},
            {"role": "user", "content": "Ward letter.\nDiagnosis: rare greyscale of Westeros\nNothing else."},
        ],
        response={"role": "assistant", "content": '{"condition": "greyscale", "amount": "", "large": "no"}'},
    )
    out = curate([*calls, odd])
    assert out.dropped[ANSWER_LOST] == 1 and "odd" not in {e.call_id for e in out.examples}
    assert [w.call_id for w in out.withheld if w.reason == ANSWER_LOST] == ["odd"]
