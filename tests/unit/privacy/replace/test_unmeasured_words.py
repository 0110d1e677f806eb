"""Lines in languages without a measured recall: masked, quarantined or kept, and named."""

from __future__ import annotations

import pytest

from deputize.core.contracts import text_of
from deputize.core.records import Call
from deputize.privacy.deidentify import UNMEASURED_LANGUAGE, Deidentifier, DeidentifyOptions
from deputize.privacy.replace.replacement_policy import policy_of
from deputize.privacy.replace.unmeasured_words import language_warnings, shared_words
from deputize.privacy.scan.line_index import LineIndex
from deputize.privacy.scan.scanned_log import ScannedLog
from deputize.privacy.standard_detectors import DetectorSet

NAMES = [
    "Kari",
    "Ola",
    "Ingrid",
    "Sindre",
    "Liv",
    "Torbjørn",
    "Sigrid",
    "Håkon",
    "Marit",
    "Geir",
    "Astrid",
    "Leif",
]


def log() -> list[Call]:
    return [
        Call(
            id=f"c{i}",
            messages=[
                {
                    "role": "user",
                    "content": f"Hei, jeg har ikke fått pakken fra Oslo som er til {name}, og det er for sent.",
                }
            ],
            response={"role": "assistant", "content": f'{{"name": "{name}", "city": "Oslo"}}'},
            episode=f"e{i}",
            origin=f"o{i}",
        )
        for i, name in enumerate(NAMES)
    ]


def deidentified(unmeasured: str) -> tuple[Deidentifier, list[Call], ScannedLog]:
    calls, policy = log(), policy_of("standard")
    detectors = DetectorSet([], unmeasured=unmeasured)  # type: ignore[arg-type]
    scanned = ScannedLog(LineIndex(detectors.ensemble(policy)), {c.id: "s" for c in calls})
    for call in calls:
        scanned.add(call)
    scanned.line_index.scan()
    options = DeidentifyOptions(unmeasured)  # type: ignore[arg-type]
    made = Deidentifier(calls, scanned, policy, key=b"k" * 32, checks_answers=False, options=options)
    return made, calls, scanned


def test_masked_are_the_words_of_few_people_in_prompt_and_answer() -> None:
    made, calls, scanned = deidentified("mask")
    assert shared_words(scanned) == {"hei", "oslo"}
    for call in made.passing(calls):
        prompt, answer = text_of(made.request_of(call).messages[0]), text_of(made.response_of(call))
        assert prompt.startswith("Hei, jeg") and "til [masked], og" in prompt and "Oslo" in prompt
        assert answer == '{"name": "[masked]", "city": "Oslo"}'
        assert made.leftover(call) is None
    (warning,) = made.warnings
    assert "Norwegian or Danish (12 lines)" in warning and "were masked" in warning


def test_quarantined_or_kept_where_the_setting_says_so() -> None:
    made, calls, _ = deidentified("quarantine")
    assert {made.leftover(call) for call in made.passing(calls)} == {UNMEASURED_LANGUAGE}
    assert "quarantined" in made.warnings[0]
    made, calls, _ = deidentified("keep")
    for call in made.passing(calls):
        assert made.leftover(call) is None and made.request_of(call).messages == call.messages
    assert "only what the detectors found" in made.warnings[0]


@pytest.mark.parametrize("languages", [{"en": 900, "no": 2}, {"de": 5}, {}])
def test_nothing_is_said_where_nothing_is_to_say(languages: dict[str, int]) -> None:
    assert language_warnings(languages, "mask") == []
