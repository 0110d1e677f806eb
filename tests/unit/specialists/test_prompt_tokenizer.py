"""The tokenizer of a model without its weights puts prompts as the loaded model does."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests import tiny_specialist

from deputize.core.errors import BadInput
from deputize.specialists.catalogue import model_path
from deputize.specialists.language_model import LanguageModel
from deputize.specialists.prompt_tokenizer import PromptTokenizer, shortened, slot_ids


def test_prompts_are_those_of_the_loaded_model(tiny: tuple[Path, str]) -> None:
    folder = model_path(tiny[1], tiny[0])
    words, model = PromptTokenizer.of_folder(folder), LanguageModel(folder, "cpu", "fp32")
    texts = [*tiny_specialist.texts(3), "long " * 400]
    assert words.prompt_ids(texts, 100) == model.prompt_ids(texts, 100)
    assert (words.frame, words.context, words.newline) == (model.frame, model.context, model.newline)
    assert slot_ids(words, "yes") == [*model.ids(" yes"), model.newline]
    assert words.prompt_ids([], 100) == []


def test_a_folder_without_a_tokenizer_is_bad_input(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="holds no tokenizer"):
        PromptTokenizer.of_folder(tmp_path)


def test_the_middle_of_what_is_too_long_is_left_out() -> None:
    assert shortened(list(range(9)), 9) == list(range(9))
    assert shortened(list(range(9)), 6) == [0, 1, 5, 6, 7, 8]
