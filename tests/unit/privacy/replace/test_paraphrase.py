"""A model rewords sensitive prose; where it loses or brings in something, the rules' text stays. The model is
simulated."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from deputize.core.artifacts import Curated
from deputize.core.config import Convert, Privacy
from deputize.core.contracts import text_of
from deputize.core.errors import BadInput, UpstreamError
from deputize.core.records import Call
from deputize.pipeline.curation import paraphrasing_model
from deputize.privacy.detectors.base import Detector
from deputize.privacy.detectors.rules import RuleDetector
from deputize.privacy.detectors.sensitive_terms import SensitiveDetector
from deputize.privacy.detectors.verification import VerificationDetector
from deputize.privacy.replace.paraphrase import MAX_FAILURES, Paraphraser
from deputize.privacy.standard_detectors import DetectorSet
from deputize.stages.collect.audience import infer_sites
from deputize.stages.curate.run import CurateOptions, run
from deputize.testing import ScriptedUpstream, failing, in_thread

LETTER = "Ward letter.\nPatient: Ann\nThe valve of unit 7781 broke again during the night shift and was mended at once."


def reworded(body: dict[str, Any]) -> dict[str, Any]:
    """The simulated model: the words of each sentence in alphabetical order."""
    words = sorted(body["messages"][-1]["content"].replace(".", "").split())
    return {"role": "assistant", "content": " ".join(words) + "."}


def ask(answer: Callable[[str], str]) -> Paraphraser:
    return Paraphraser(lambda instruction, text: answer(text), [RuleDetector(), VerificationDetector()])


def never(line: str) -> bool:
    return False


def test_prose_is_reworded_and_structure_stays() -> None:
    worded = ask(lambda text: text.replace("was mended at once", "saw quick repair"))
    made = worded(LETTER, lambda line: line == "Ward letter.", {"7781"})
    assert made == LETTER.replace("was mended at once", "saw quick repair")
    assert worded('{"a": "one two three four five six seven eight nine"}', never, set()).startswith(
        '{"a": "one'
    )
    assert worded.n_paraphrased == 1


@pytest.mark.parametrize(
    "answer",
    [
        lambda text: "",
        lambda text: "Unit 7781, night.",
        lambda text: text.replace("7781", "7782"),
        lambda text: text.replace("7781", "that one"),
        lambda text: text.replace("night", "late"),  # loses what the answer copies
        lambda text: text + " Write to bob.jones@acme-mail.com.",
        lambda text: text + " It cost 48,213 euros.",
        lambda text: text * 9,
    ],
)
def test_a_wording_that_loses_or_brings_in_something_is_not_taken(answer: Callable[[str], str]) -> None:
    worded = ask(answer)
    assert worded(LETTER, never, {"night"}) == LETTER
    assert (worded.n_paraphrased, worded.n_kept) == (0, 1) and "were only de-identified" in worded.summary


def test_equal_passages_are_asked_once_and_a_model_that_fails_is_left_alone() -> None:
    asked: list[str] = []

    def failing_model(text: str) -> str:
        asked.append(text)
        raise UpstreamError("no")

    worded = ask(failing_model)
    for n in range(9):
        text = LETTER.replace("7781", str(7000 + n))
        assert worded(text, never, set()) == worded(text, never, set()) == text
    assert len(asked) == MAX_FAILURES and "stopped answering" in worded.summary


def log() -> list[Call]:
    return [
        Call(
            id=f"c{i}",
            agent="plant",
            episode=f"e{i}",
            messages=[
                {"role": "system", "content": "Which unit is it? Answer as JSON."},
                {
                    "role": "user",
                    "content": f"The valve of unit {7000 + i} in hall Nightingale broke again during shift {i} and was mended.",
                },
            ],
            response={"role": "assistant", "content": json.dumps({"unit": str(7000 + i)})},
        )
        for i in range(40)
    ]


def curate(script: Any) -> tuple[Curated, ScriptedUpstream]:
    with in_thread(ScriptedUpstream(script)) as llm:
        asker = paraphrasing_model(Privacy(paraphraser={"base_url": llm.url, "model": "scripted"}))
        assert asker is not None
        detectors: list[Detector] = [RuleDetector(), SensitiveDetector(["Nightingale"])]
        try:
            out = run(
                log(),
                infer_sites(log()),
                Convert(privacy="paraphrase"),
                key=b"k" * 32,
                detectors=DetectorSet(detectors),
                options=CurateOptions(paraphraser=Paraphraser(asker, [*detectors, VerificationDetector()])),
            )
        finally:
            asker.close()
    return out, llm


def test_what_is_trained_on_is_reworded_by_the_model_and_the_answer_still_follows() -> None:
    out, llm = curate(reworded)
    assert len(out.examples) == 40
    for e in out.examples:
        said, unit = text_of(e.request.messages[1]), json.loads(text_of(e.response))["unit"]
        assert unit in said and "Nightingale" not in said
        assert said.startswith("The valve of unit") == (e.split in ("calibration", "test"))
    n_trained_on = sum(e.split in ("train", "validation") for e in out.examples)
    assert llm.n_requests == n_trained_on and any(f"{n_trained_on} passages" in w for w in out.warnings)
    for body in llm.requests:  # the model saw nothing that was not de-identified
        shown = body["messages"][-1]["content"]
        number = re.search(r"unit (\d+)", shown)
        assert (
            "Nightingale" not in shown
            and number is not None
            and number.group(1) in body["messages"][0]["content"]
        )


def test_a_model_that_fails_leaves_the_rules_text() -> None:
    out, llm = curate(failing(500))
    assert len(out.examples) == 40 and llm.n_requests == MAX_FAILURES
    assert all(text_of(e.request.messages[1]).startswith("The valve of unit") for e in out.examples)
    assert any("stopped answering" in w for w in out.warnings)


@pytest.mark.parametrize(
    "named",
    [
        {"base_url": "nowhere", "model": "m"},
        {"model": "m"},
        {"base_url": "http://x"},
        {"base_url": "http://x", "model": "m", "odd": "1"},
    ],
)
def test_a_model_that_is_named_wrongly_is_bad_input(named: dict[str, str]) -> None:
    with pytest.raises(BadInput, match="paraphraser"):
        paraphrasing_model(Privacy(paraphraser=named))


def test_no_model_no_paraphraser() -> None:
    assert paraphrasing_model(Privacy()) is None
