"""Forms of export by name."""

from __future__ import annotations

from collections.abc import Iterator

from deputize.core.errors import UsageError
from deputize.specialists.cascade import CascadePredictor
from deputize.specialists.export_forms.base import ExportForm
from deputize.specialists.export_forms.gguf_file import GGUF
from deputize.specialists.export_forms.merged_weights import MERGED
from deputize.specialists.export_forms.npz_arrays import NPZ
from deputize.specialists.export_forms.ollama_folder import OLLAMA
from deputize.specialists.export_forms.onnx_graph import ONNX
from deputize.specialists.export_forms.peft_adapter import PEFT
from deputize.specialists.registry import StoredSpecialist

READ_LISTS = ("listed", "listed_writer")
"""Kinds of specialists whose answers are made under each request's own list."""

OURS: tuple[ExportForm, ...] = (PEFT, MERGED, GGUF, OLLAMA, ONNX, NPZ)


def export_form(name: str, stored: StoredSpecialist) -> ExportForm:
    """The form of a name, where a specialist has it.

    Raises:
        UsageError: no such form, or it makes no sense for this specialist; the sentence names those that do. A cascade
            has none, nor has what reads the list of each request.
    """
    known = {form.name: form for form in OURS}
    if name not in known:
        raise UsageError(f"No form of export is called {name!r}. Known: {', '.join(known)}.")
    if stored.card.kind == CascadePredictor.kind:
        raise UsageError(
            f"The specialist {stored.card.id} ({stored.card.method}) cannot be exported: a cascade is several specialists "
            f"({stored.card.model}), and no form holds them together. The gateway serves it."
        )
    if stored.card.kind in READ_LISTS:
        raise UsageError(
            f"The specialist {stored.card.id} ({stored.card.method}) cannot be exported: it reads the tools that each request "
            "lists, and no other engine does. The gateway serves it."
        )
    if why := known[name].refusal(stored):
        able = ", ".join(_able(stored)) or "none of the forms"
        raise UsageError(
            f"The specialist {stored.card.id} ({stored.card.method}) cannot be exported as {name}: {why}. "
            f"Forms that it has: {able}."
        )
    return known[name]


def _able(stored: StoredSpecialist) -> Iterator[str]:
    return (form.name for form in OURS if not form.refusal(stored))
