"""The layers of a Llama model without transformers: the same hidden states, whatever the company."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from deputize.specialists import llama_stack
from deputize.specialists.language_model import LanguageModel
from deputize.specialists.llama_stack import KeyValueCache, LlamaStack, linear, why_no_stack


def model_with_adapters(tiny: tuple[Path, str], dtype: str = "fp32") -> LanguageModel:
    base = LanguageModel(tiny[0] / tiny[1], "cpu", dtype)
    rng = torch.Generator().manual_seed(3)
    for name, rank, targets in (
        ("a", 4, "all-linear"),
        ("b", 2, ["q_proj", "up_proj"]),
        ("c", 4, "all-linear"),
    ):
        base.new_adapter(name, {"r": rank, "lora_alpha": 8, "target_modules": targets})
        for _, weights in base.adapter_parameters(name):
            weights.data.normal_(std=0.2, generator=rng)
    return base


ROWS = [[7, 9, 30], list(range(40, 110)), [5], list(range(200, 217))]


def test_each_row_is_read_as_transformers_reads_it_with_its_adapter(tiny: tuple[Path, str]) -> None:
    base = model_with_adapters(tiny)
    names = ["a", "b", "a", "c"]
    packs = {name: base.stack.pack(name) for name in names}
    with torch.inference_mode():
        cache = KeyValueCache(base.stack)
        read = base.stack.read(ROWS, cache, [packs[n] for n in names]).split([len(row) for row in ROWS])
        for row, name, found in zip(ROWS, names, read, strict=True):
            base.use(name)
            expected = base.decoder(input_ids=torch.tensor([row])).last_hidden_state[0]
            assert torch.allclose(found, expected, atol=1e-4), name


def test_what_is_read_in_pieces_and_after_rows_have_left_is_the_same(tiny: tuple[Path, str]) -> None:
    stack = LanguageModel(tiny[0] / tiny[1], "cpu", "fp32").stack
    with torch.inference_mode():
        whole = [stack.read([row], KeyValueCache(stack), [None]) for row in ROWS]
        cache = KeyValueCache(stack)
        stack.read([row[: len(row) // 2] or row for row in ROWS], cache, [None] * 4)
        cache.lengths = [len(row) // 2 for row in ROWS]
        cache.keep([1, 3])
        rest = [ROWS[n][len(ROWS[n]) // 2 :] for n in (1, 3)]
        read = stack.read(rest, cache, [None] * 2).split([len(row) for row in rest])
    for n, found in zip((1, 3), read, strict=True):
        assert torch.allclose(found, whole[n][-len(found) :], atol=1e-4)


def test_company_is_tried_with_the_weights_themselves(tiny: tuple[Path, str]) -> None:
    stack = LanguageModel(tiny[0] / tiny[1], "cpu", "bf16").stack
    same = stack.is_the_same_in_company
    if same:  # so it is with oneDNN's products in bf16; other machines may differ, and then answers are written alone
        with torch.inference_mode():
            alone = [stack.read([row], KeyValueCache(stack), [None]) for row in ROWS]
            read = stack.read(ROWS, KeyValueCache(stack), [None] * 4).split([len(row) for row in ROWS])
        assert all(torch.equal(one, two) for one, two in zip(alone, read, strict=True))
    assert isinstance(same, bool)


def test_the_trial_reads_few_layers_and_ends_in_time(
    tiny: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Somebody may wait for the specialist that is being loaded; where nothing was shown answers are written alone."""
    stack = LanguageModel(tiny[0] / tiny[1], "cpu", "fp32").stack
    n_read: list[int] = []
    whole = LlamaStack.read

    def counted(self: LlamaStack, *given: Any) -> Any:
        n_read.append(len(self.layers))
        return whole(self, *given)

    monkeypatch.setattr(LlamaStack, "read", counted)
    monkeypatch.setattr(llama_stack, "TRIED_LAYERS", 1)
    assert isinstance(stack.is_the_same_in_company, bool)
    assert set(n_read) == {1} and len(stack.layers) > 1
    again = LlamaStack(stack.lm)
    monkeypatch.setattr(llama_stack, "TRIAL_S", -1.0)
    n_read.clear()
    assert not again.is_the_same_in_company and "was not found out" in caplog.text
    assert len(n_read) == 6, "each row alone; none together"
    assert torch.get_num_threads() >= 1


def test_one_row_is_multiplied_as_several_are() -> None:
    x, weight = torch.randn(3, 20), torch.randn(5, 20)
    assert torch.allclose(linear(x[:1], weight), (x @ weight.T)[:1], atol=1e-5)
    assert linear(x[:1], weight).shape == (1, 5)
    x, weight = torch.randn(1, 576), torch.randn(1536, 576)
    as_two = torch.nn.functional.linear(x.expand(2, -1), weight)[:1]
    assert torch.equal(linear(x, weight), as_two), (
        "bit for bit: of one row alone some machines sum in another order"
    )


def test_what_it_cannot_read_is_said(tiny: tuple[Path, str]) -> None:
    base = LanguageModel(tiny[0] / tiny[1], "cpu", "fp32")
    assert not why_no_stack(base.lm, quantized=False) and base.can_stack
    assert "Llama" in why_no_stack(base.lm, quantized=True)
    base.lm.config.model_type = "gemma3_text"
    assert "Llama" in why_no_stack(base.lm, quantized=False)


@pytest.mark.parametrize("more", [1, 70])
def test_room_grows_and_keeps_what_is_there(tiny: tuple[Path, str], more: int) -> None:
    cache = KeyValueCache(LanguageModel(tiny[0] / tiny[1], "cpu", "fp32").stack)
    cache.make_room([3])
    cache.keys[:, 0, :, :3], cache.lengths = 1.0, [3]
    cache.make_room([more, 9])
    assert cache.keys.shape[1] >= 2 and cache.keys.shape[3] >= 3 + more
    assert float(cache.keys[:, 0, :, :3].min()) == 1.0 and float(cache.keys[:, 1].max()) == 0.0
