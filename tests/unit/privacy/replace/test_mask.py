"""The allow-list mode: what is not known to be safe is masked, whatever it is."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from deputize.core.config import Convert
from deputize.core.contracts import text_of
from deputize.core.records import Call
from deputize.privacy.detectors.rules import RuleDetector
from deputize.privacy.replace.allowlist import SiteVocabulary
from deputize.privacy.replace.mask import MIN_PEOPLE, WORD, Masker
from deputize.privacy.replace.surrogates import MASK
from deputize.privacy.standard_detectors import DetectorSet
from deputize.stages.collect.audience import infer_sites
from deputize.stages.curate.run import run

SYSTEM = "You are the nurse line.\nAnswer as JSON with the key urgent: yes or no."
SAID = "My name is {name}. Patient has {what} and takes {drug} since {year}, please call back."
NAMES = ["Maria Lopez", "Omar Haddad", "Ivan Petrov", "Emma Stone", "Liam Chen"]


def log(n: int, **fields: Any) -> list[Call]:
    """Calls of a nurse line: half of the patients are called Smith, each has an illness that no list of ours holds."""
    calls = []
    for i in range(n):
        name = f"{NAMES[i % 5].split()[0]} Smith" if i % 2 else NAMES[i % 5]
        said = SAID.format(name=name, what=f"zorblitis{i}", drug=f"quaxadrine{i}", year=1950 + i)
        calls.append(
            Call(
                id=f"c{i}",
                agent="line",
                episode=f"e{i}",
                messages=[{"role": "system", "content": SYSTEM}, {"role": "user", "content": said}],
                response={"role": "assistant", "content": json.dumps({"urgent": "yes" if i % 3 else "no"})},
                **{k: v(i) for k, v in fields.items()},
            )
        )
    return calls


def masked(calls: list[Call]) -> dict[str, tuple[str, str]]:
    """call id -> prompt and reply as they come out."""
    out = run(
        calls,
        infer_sites(calls),
        Convert(privacy="paranoid"),
        key=b"k" * 32,
        detectors=DetectorSet([RuleDetector()]),
    )
    return {e.call_id: (text_of(e.request.messages[1]), text_of(e.response)) for e in out.examples}


def test_what_no_detector_knows_is_masked_and_the_task_stays() -> None:
    out = masked(log(40))
    assert len(out) == 40
    for i in range(40):
        said, reply = out[f"c{i}"]
        assert f"zorblitis{i}" not in said and f"quaxadrine{i}" not in said and str(1950 + i) not in said
        assert said.startswith("My name is ") and said.endswith("please call back.")
        assert json.loads(reply)["urgent"] in ("yes", "no"), "labels are the application's own words"


def test_a_frequent_surname_is_not_safe() -> None:
    assert not any("Smith" in said or "Lopez" in said for said, _ in masked(log(60)).values())


def test_a_word_of_one_person_in_many_episodes_is_not_safe() -> None:
    """Two people make all calls with the drug, in twenty episodes."""
    calls = log(60, origin=lambda i: f"o{i % 2}" if i < 20 else f"o{i}")
    for i in range(20):
        calls[i].messages[1]["content"] += " It is about flimbrol again."
    assert not any("flimbrol" in said for said, _ in masked(calls).values())
    for i in range(60):
        calls[i].messages[1]["content"] += " Thanks, good evening."
    assert all(said.endswith("good evening.") for said, _ in masked(calls).values())


@given(st.text(max_size=60), st.sets(st.text("ab12", min_size=1, max_size=4), max_size=8))
def test_no_word_stays_but_a_safe_one(text: str, words: set[str]) -> None:
    masker = Masker(
        [words] * MIN_PEOPLE, [SiteVocabulary(template="\nhello there\n", words=frozenset({"yes"}))]
    )
    left = WORD.findall(masker(text).replace(MASK, " "))
    assert {w.casefold() for w in left} <= words | {"hello", "there", "yes"}
    assert WORD.sub("", masker(text).replace(MASK, "")) == WORD.sub("", text), "what is between words stays"


def test_few_people_must_all_use_a_word() -> None:
    masker = Masker([{"a", "b"}, {"a"}, {"a", "c"}], [])
    assert masker("a b c") == f"a {MASK} {MASK}"
    assert Masker([{"a"}], [])("a") == MASK
    assert Masker([{"a", "kim"}] * 20, [], personal={"kim"})("a kim") == f"a {MASK}"
