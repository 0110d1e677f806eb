"""The model card in a specialist's folder."""

from __future__ import annotations

from pathlib import Path

import msgspec
from tests import tiny_specialist

from deputize.core.artifacts import Leak
from deputize.specialists.model_card import write_model_card
from deputize.specialists.specialist_card import check_files

LEAK = Leak(
    leaks=False,
    reason="None of 6 secrets can be had from it.",
    n_planted=6,
    n_extracted=0,
    n_exposed=0,
    limit_bits=6.0,
    p_exposed=1.0,
    p_memorised=0.5,
    mean_exposure=1.4,
    max_exposure=2.0,
)


def test_lineage_licence_figures_and_leak_test(tiny: tuple[Path, str], tmp_path: Path) -> None:
    stored = tiny_specialist.make(tiny, tmp_path / "s", "decoder")
    card = msgspec.structs.replace(
        stored.card,
        leak=LEAK,
        validation_accuracy=0.875,
        prompt_tokens_before=900.0,
        prompt_tokens_after=120.0,
    )
    write_model_card(stored.folder, card, stored.models_dir)
    text = (stored.folder / "README.md").read_text()
    assert text.startswith("---\nlicense: apache-2.0\n") and "is under apache-2.0" in text
    assert "87.5 % of validation answered as the LLM did" in text
    assert "not measured: of validation could be served" in text
    assert "120 tokens of 900" in text and f"SHA-256 of the base model: {card.base_sha256}" in text
    assert "None of 6 secrets can be had from it. 6 secrets were planted" in text
    check_files(stored.folder, stored.card)


def test_a_cascade_names_its_members(tiny: tuple[Path, str], tmp_path: Path) -> None:
    stored = tiny_specialist.make(tiny, tmp_path / "s", "linear")
    card = msgspec.structs.replace(stored.card, method="linear+frozen", kind="cascade")
    write_model_card(stored.folder, card, stored.models_dir)
    text = (stored.folder / "README.md").read_text()
    assert "cascade of 2 methods, asked in turn (linear, frozen)" in text and text.startswith("# ")
