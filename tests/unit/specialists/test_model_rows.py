"""Rows that a model reads: the same by our own layers and by transformers, and shared beginnings are read once."""

from __future__ import annotations

from pathlib import Path

import torch

from deputize.specialists.language_model import LanguageModel
from deputize.specialists.model_rows import LlamaRows, LoadedAdapter, TransformersRows

PROMPTS = [[*range(50, 80), 7, 9], [*range(50, 80), 11], [*range(50, 80), 12, 13, 14]]


def test_rows_are_the_same_by_our_layers_and_by_transformers(tiny: tuple[Path, str]) -> None:
    base = LanguageModel(tiny[0] / tiny[1], "cpu", "fp32")
    ours, theirs = LlamaRows(base.stack), TransformersRows(base)
    with torch.inference_mode():
        adapters = [LoadedAdapter(None) for _ in PROMPTS]
        one, two = (rows.add(PROMPTS, adapters, [[]] * 3) for rows in (ours, theirs))
        assert torch.allclose(one, two, atol=1e-4)
        one, two = (rows.feed([[1, 2, 3], [4], [5, 6]]) for rows in (ours, theirs))
        assert torch.allclose(one, two, atol=1e-4)
        for rows in (ours, theirs):
            rows.count([1, 1, 2])
            rows.keep([0, 2])
        one, two = (rows.feed([[8], [9, 10]]) for rows in (ours, theirs))
    assert torch.allclose(one, two, atol=1e-4) and ours.n_read == theirs.n_read
    assert ours.takes_more and not theirs.takes_more


def test_a_shared_beginning_is_read_once_and_nothing_else_is_kept(tiny: tuple[Path, str]) -> None:
    base = LanguageModel(tiny[0] / tiny[1], "cpu", "fp32")
    loaded, fresh = LoadedAdapter(None), LlamaRows(base.stack)
    with torch.inference_mode():
        expected = fresh.add(PROMPTS, [LoadedAdapter(None) for _ in PROMPTS], [[]] * 3)
        rows = LlamaRows(base.stack)
        first = rows.add(PROMPTS[:1], [loaded], [[]])
        assert rows.n_read == 32 and loaded.prefix.ids == PROMPTS[0]
        others = rows.add(PROMPTS[1:], [loaded, loaded], [[], []])
    assert rows.n_read == 32 + 1 + 3, "of the others only what is not shared"
    assert loaded.prefix.ids == PROMPTS[0][:30]
    assert torch.allclose(torch.cat([first, others]), expected, atol=1e-4)
    assert loaded.prefix.common([1, 2, 3]) == 0 and loaded.prefix.common(PROMPTS[0][:30]) == 29


def test_what_is_tried_behind_a_prompt_is_read_with_it_and_counts_as_far_as_it_is_said(
    tiny: tuple[Path, str],
) -> None:
    base = LanguageModel(tiny[0] / tiny[1], "cpu", "fp32")
    rows, plain = LlamaRows(base.stack), LlamaRows(base.stack)
    with torch.inference_mode():
        lasts = plain.add(PROMPTS[:2], [LoadedAdapter(None)] * 2, [[], []])
        both = rows.add(PROMPTS[:2], [LoadedAdapter(None)] * 2, [[5, 6], [4]])
        assert both.shape[0] == 3 + 2
        assert torch.allclose(both[[0, 3]], lasts, atol=1e-4)
        after = plain.feed([[5, 6], [4]])
        assert torch.allclose(both[[1, 2, 4]], after, atol=1e-4)
        rows.count([1, 0])
        plain.count([1, 0])
        one, two = (each.feed([[8], [9]]) for each in (rows, plain))
    assert torch.allclose(one, two, atol=1e-4)
