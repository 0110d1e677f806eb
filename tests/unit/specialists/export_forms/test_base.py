"""Every form keeps the protocol."""

from __future__ import annotations

from deputize.specialists.export_forms.base import ExportForm
from deputize.specialists.export_forms.registry import OURS


def test_each_form_has_a_name_and_a_precision() -> None:
    forms: tuple[ExportForm, ...] = OURS
    assert [form.name for form in forms] == ["peft", "merged", "gguf", "ollama", "onnx", "npz"]
    assert all(form.precisions for form in forms)
