"""A verifier pass: the untuned model's probability of yes, and what it does to the confidence of an answer."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from tests import tiny_specialist

from deputize.specialists.decoder import DecoderPredictor, load_decoder
from deputize.specialists.language_model import LanguageModel
from deputize.specialists.verified_answers import (
    MORE_TOKENS,
    NO,
    YES,
    VerifiedPredictor,
    log_p_yes,
    question,
)


@pytest.fixture(scope="module")
def decoder(tiny: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory) -> DecoderPredictor:
    return load_decoder(tiny_specialist.make(tiny, tmp_path_factory.mktemp("closed"), "decoder", "closed"))


@pytest.mark.parametrize("own_layers", [True, False])
def test_it_is_the_untuned_models_own_probability(
    decoder: DecoderPredictor, monkeypatch: pytest.MonkeyPatch, own_layers: bool
) -> None:
    """Held against transformers, with the adapter switched off."""
    base = decoder.base
    monkeypatch.setattr(LanguageModel, "can_stack", own_layers)
    base.use(decoder.adapter)
    asked = question("money back for LH-12345", ["order: LH-12345"])
    (prompt,) = base.prompt_ids([asked], 400)
    with torch.inference_mode(), base.without_adapters():
        logits_V = base.lm(torch.tensor([prompt])).logits[0, -1].float()
    yes, no = (
        float(torch.logsumexp(logits_V[sorted({base.ids(w)[0] for w in words})], 0)) for words in (YES, NO)
    )
    assert log_p_yes(base, asked, 400) == pytest.approx(-math.log1p(math.exp(no - yes)), abs=0.02)


def test_the_answer_stays_and_its_confidence_has_the_verdict(decoder: DecoderPredictor) -> None:
    verified, texts = VerifiedPredictor(decoder), tiny_specialist.texts(4, "closed")
    plain, found = decoder.predict(texts), verified.predict(texts)
    assert [p.answer for p in found] == [p.answer for p in plain]
    for one, own, text in zip(found, plain, texts, strict=True):
        slots = decoder.schema.segments(one.answer)
        assert slots is not None
        lines = [f"{slot.name}: {written}" for slot, written in slots]
        log_yes = log_p_yes(decoder.base, question(text, lines), decoder.max_tokens + MORE_TOKENS)
        assert one.raw_confidence.log_p == pytest.approx(own.raw_confidence.log_p + log_yes, abs=0.05)
        assert one.raw_confidence.min_margin == pytest.approx(own.raw_confidence.min_margin, abs=0.05)
    assert found == [verified.predict([text])[0] for text in texts]
    assert verified.engine == f"{decoder.engine}, verified"


def test_the_question_holds_the_prompt_and_the_answer() -> None:
    asked = question("Where is LH-1?", ["order: LH-1", "late: yes"])
    assert asked.startswith("Where is LH-1?\n") and "\norder: LH-1\nlate: yes\n" in asked
