"""Vectors of a frozen language model: pooled, and not moved by adapters."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from deputize.specialists.language_model import LanguageModel
from deputize.specialists.pooled_states import LanguageModelStates, middle_layer, states_model
from deputize.specialists.text_encoder import TextEncoder


def test_a_vector_is_a_mean_of_the_middle_and_the_end_of_the_top(tiny: tuple[Path, str]) -> None:
    import torch

    base = LanguageModel(tiny[0] / tiny[1], "cpu", "fp32")
    model = LanguageModelStates(base)
    rows = model.rows(["the order LH-12345", "refund it", "yes"], 64)
    found = model.states(rows, tokens=40)
    assert found.shape == (3, 2 * base.width)
    with torch.inference_mode():
        layers = base.decoder(input_ids=torch.tensor([rows[0]]), output_hidden_states=True).hidden_states
    mean, last = layers[middle_layer(base)][0].mean(0), layers[-1][0, -1]
    assert np.allclose(found[0], torch.cat([mean, last]).numpy(), atol=1e-4)
    assert model.n_tokens("the order LH-12345") == len(base.ids("the order LH-12345"))


def test_adapters_of_other_specialists_change_nothing(tiny: tuple[Path, str]) -> None:
    import torch

    base = LanguageModel(tiny[0] / tiny[1], "cpu", "fp32")
    model = LanguageModelStates(base)
    rows = model.rows(["the order LH-12345"], 64)
    before = model.states(rows)
    base.new_adapter("other", {"r": 4, "target_modules": ["q_proj"]})
    for _, weight in base.adapter_parameters("other"):
        torch.nn.init.normal_(weight)
    assert np.allclose(model.states(rows), before, atol=1e-6)
    assert base.active == "other"


def test_a_folder_says_what_kind_of_model_it_holds(tiny: tuple[Path, str], tiny_base: Path) -> None:
    assert isinstance(states_model(tiny[0] / tiny[1]), LanguageModelStates)
    assert isinstance(states_model(tiny_base), TextEncoder)
    assert states_model(tiny_base) is states_model(tiny_base)
